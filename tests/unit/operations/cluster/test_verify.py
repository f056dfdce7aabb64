from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from types import SimpleNamespace

import pytest

from provision.base import paths
from provision.base.progress import Silent
from provision.operations.cluster.nodes import find_live_cluster
from provision.operations.cluster.verify import VerifyCheck, VerifyReport, description, title, verify


def live(name: str):
    """A module of the suite, whose folder is no package."""
    spec = spec_from_file_location(f"live_{name}", paths.LIVE_TESTS / f"{name}.py")
    module = module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("live/test_nodes.py::test_unit_runs[a-worker-1 spark-worker]", "a-worker-1 spark-worker: unit runs"),
        ("live/test_spark.py::test_master_is_alive", "master is alive"),
        ("x.py::test_file_is_as_described[a-master /etc/a::b]", "a-master /etc/a::b: file is as described"),
    ],
)
def test_checks_have_readable_names(nodeid: str, expected: str) -> None:
    assert title(nodeid) == expected


def test_the_report_as_json() -> None:
    report = VerifyReport(
        [
            VerifyCheck("master is alive", passed=True, message="", seconds=0.123),
            VerifyCheck("java is 21", passed=False, message="it is 17", seconds=1),
        ],
        12.34,
    )
    assert report.as_data() == {
        "passed": 1,
        "failed": 1,
        "seconds": 12.3,
        "checks": [
            {"name": "master is alive", "passed": True, "message": "", "seconds": 0.12},
            {"name": "java is 21", "passed": False, "message": "it is 17", "seconds": 1},
        ],
    }


def test_the_suite_is_told_of_every_node_and_of_no_secret(make_site) -> None:
    site = make_site()
    site.up()
    told = description(find_live_cluster(site.spec, "cluster.yaml", site.cloud))
    assert [node["name"] for node in told["nodes"]] == ["analytics-master", "analytics-worker-1", "analytics-worker-2"]
    assert told["units"]["worker"][0] == "spark-worker"
    assert "/etc/spark/spark-defaults.conf" in {file["path"] for file in told["files"]["worker"]}
    assert told["hub_url"] == "https://172.29.0.100"
    secrets = json.loads((site.cluster_dir.folder / "secrets.json").read_text())
    text = json.dumps(told)
    assert secrets["spark_secret"] not in text
    assert "PRIVATE KEY" not in text
    assert "$6$" not in text


def test_options_of_a_persons_shell_are_for_other_suites(make_site, monkeypatch) -> None:
    site = make_site()
    site.up()
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    monkeypatch.setenv("PYTEST_PLUGINS", "no_such_plugin")
    seen = []
    monkeypatch.setattr(
        pytest, "main", lambda *_, **__: seen.extend(name for name in os.environ if name.startswith("PYTEST_A")) or 0
    )
    verify(find_live_cluster(site.spec, "cluster.yaml", site.cloud), Silent())
    assert seen == []
    assert (os.environ["PYTEST_ADDOPTS"], os.environ["PYTEST_PLUGINS"]) == ("--no-such-option", "no_such_plugin")


def test_a_users_notebook_that_has_failed_is_no_failure_of_the_cluster(make_site) -> None:
    site = make_site()
    site.up()
    told = description(find_live_cluster(site.spec, "cluster.yaml", site.cloud))
    checks = live("test_nodes")

    class Probe(dict):
        name = "a-master"

    cluster = SimpleNamespace(data=json.loads(json.dumps(told)))
    checks.test_no_unit_failed(cluster, Probe(failed=["notebook-alice.service", "job-train-1.service"]))
    with pytest.raises(AssertionError, match=r"failed units: cron\.service$"):
        checks.test_no_unit_failed(cluster, Probe(failed=["notebook-alice.service", "cron.service"]))


PORTS = dict.fromkeys(
    ("ssh", "spark_master", "spark_master_ui", "hub_api", "spark_history", "nfs", "spark_worker", "spark_worker_ui"), 9
) | {"ssh": 22, "spark_worker": 7078}


def probed(workers: int, host):
    """The suite's cluster of so many workers, and the nodes' hosts."""
    roles = ("master", *["worker"] * workers)
    context = {"ports": PORTS, "hub": {"users": []}}
    data = {
        "nodes": [
            {"name": f"n{n}", "role": role, "address": f"10.0.{n >> 8}.{n & 255}"} for n, role in enumerate(roles)
        ],
        "contexts": dict.fromkeys(roles, context),
        "units": {role: ["x"] for role in roles},
        "files": {role: [] for role in roles},
    }
    cluster = live("conftest").Cluster(data)
    cluster.host = host
    return cluster


def test_each_worker_tries_three_others_and_is_tried_by_three() -> None:
    cluster = probed(1000, None)
    tries = {node["address"]: cluster.peers(node) for node in cluster.workers}
    assert max(map(len, tries.values())) < 20
    tried = Counter(peer for peers in tries.values() for peer in peers if peer.endswith((":22", ":7078")))
    assert {tried[f"{address}:{port}"] for address in tries for port in (22, 7078)} == {3}
    assert not any(peer.startswith(f"{address}:") for address, peers in tries.items() for peer in peers)


def test_few_nodes_are_probed_at_once_and_each_once_also_when_it_fails() -> None:
    running, most, asked = set(), [], Counter()
    lock = threading.Lock()

    class Host:
        def __init__(self, name: str) -> None:
            self.name = name

        def run(self, *_):
            with lock:
                asked[self.name] += 1
                running.add(self.name)
                most.append(len(running))
            time.sleep(0.002)
            running.discard(self.name)
            if self.name == "n7":
                raise OSError(errno.EMFILE, "Too many open files")
            if self.name == "n8":
                raise RuntimeError(SimpleNamespace(stderr="No route to host\n"))
            return SimpleNamespace(stdout="@@ end\n", stderr="")

    cluster = probed(200, Host)
    for _ in range(2):
        errors = {name: probe.error for name, probe in cluster.probes.items() if probe.error}
    assert errors == {"n7": "OSError: [Errno 24] Too many open files", "n8": "No route to host"}
    assert set(asked.values()) == {1}
    assert max(most) <= 32


def test_a_node_tries_a_few_addresses_at_once(tmp_path) -> None:
    script = (paths.LIVE_TESTS / "probe.sh").read_text()
    section = script[script.index("section peers\n") : script.index("section spark-master;")]
    program = tmp_path / "timeout"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    text = f'section() {{ echo "@@ $1"; }}\n{section}'
    peers = [f"192.0.2.{n}:22" for n in range(100)]
    done = subprocess.run(
        ["bash", "-c", text, "probe", "", "", "", " ".join(peers)],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert sorted(done.stdout.splitlines()[1:]) == sorted(f"{peer} closed" for peer in peers), done.stderr
    assert "--max-procs=64" in section
