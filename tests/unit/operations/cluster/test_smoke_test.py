"""The smoke test: its command, and what is made of its output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provision.adapters import ssh
from provision.adapters.cluster_dir import ClusterDir
from provision.base.errors import ProvisionError
from provision.base.model import Addresses, ClusterSpec, Node
from provision.base.progress import Silent
from provision.operations.cluster import smoke_test
from provision.operations.cluster.nodes import LiveCluster

if TYPE_CHECKING:
    from pathlib import Path

GOOD = '{"sum": 499500, "hosts": ["a-worker-1", "a-worker-2.novalocal"], "seconds": 12.5}'
WORKERS = ["a-worker-1", "a-worker-2"]


def test_a_good_job() -> None:
    found = smoke_test.read_result(f"NOTE: Picked up JDK_JAVA_OPTIONS\n{GOOD}\n", WORKERS)
    assert found == smoke_test.SmokeTestResult(499500, ("a-worker-1", "a-worker-2.novalocal"), 12.5)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("", "without a result"),
        (GOOD.replace("499500", "499499"), "computed 499499"),
        (GOOD.replace(', "a-worker-2.novalocal"', ""), "ran on a-worker-2"),
    ],
)
def test_a_bad_job(said: str, complaint: str) -> None:
    with pytest.raises(ProvisionError, match=complaint):
        smoke_test.read_result(said, WORKERS)


class Fleet:
    """Stands for adapters.ssh.Fleet."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.commands: list[tuple[str, list[str]]] = []

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def must(self, node: Node, command: list[str], *, what: str, timeout: float) -> str:
        assert timeout > smoke_test.TIMEOUT
        self.commands.append((node.name, command))
        return self.output


def test_it_runs_on_the_master_for_all_workers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fleet = Fleet(GOOD)
    monkeypatch.setattr(ssh, "Fleet", lambda folder, nodes: fleet)
    nodes = (Node("a-master", "master", "10.0.0.1"), *(Node(name, "worker", "10.0.0.2") for name in WORKERS))
    cluster = LiveCluster(
        ClusterSpec("a"), nodes, Addresses("10.0.0.1", "192.0.2.1"), {}, ClusterDir("a"), tmp_path / "ssh_config"
    )
    line = smoke_test.smoke_test(cluster, Silent())
    assert line == "sum(range(1000)) = 499500, computed by a-worker-1, a-worker-2.novalocal in 12 s"
    assert fleet.commands == [("a-master", smoke_test.command(2))]


def test_the_job_runs_as_spark_and_is_bounded_on_the_node() -> None:
    argv = smoke_test.command(3)
    assert argv[:3] == ["sudo", "-u", "spark"]
    assert argv[3:6] == ["timeout", "--kill-after=10", "900"]
    assert argv[-3:] == ["/usr/local/lib/provision/smoke.py", "3", "512m"]
