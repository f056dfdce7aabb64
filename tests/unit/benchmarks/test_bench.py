from __future__ import annotations

import pytest
from bench import BENCHMARKS, CLUSTER, HERE, LOCAL_CLOUD, chosen, run_all


def test_each_is_there_and_what_needs_nothing_comes_first():
    assert all((HERE / f"{each.name}.py").exists() for each in BENCHMARKS)
    assert [bool(each.needs) for each in BENCHMARKS] == sorted(bool(each.needs) for each in BENCHMARKS)


def test_some_or_all_are_chosen():
    assert chosen([]) == [*BENCHMARKS]
    assert [each.name for each in chosen(["many", "ingest"])] == ["ingest", "many"]
    with pytest.raises(SystemExit, match="unknown: galera"):
        chosen(["many", "galera"])


def test_what_cannot_be_run_is_said_and_the_rest_is_run():
    ran = []

    def run(each):
        ran.append(each.name)
        return each.name == "ingest"

    failed, left_out = run_all(BENCHMARKS, {CLUSTER: lambda: False, LOCAL_CLOUD: lambda: True}, run)
    assert (ran, failed) == (["ingest", "control_plane", "many"], ["ingest"])
    assert left_out == [f"{name}: it needs {CLUSTER}" for name in ("nothing", "speedup")]
