"""Which nodes a command runs on, and how."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from provision.adapters.host.process import Result
from provision.base.errors import UsageError
from provision.base.model import ClusterSpec, Node
from provision.base.roles import with_hub
from provision.operations.cluster.run import find_node, highest_exit_code, run, ssh_argv

MASTER = Node("lab-master", "master", "10.0.0.1")
WORKER = Node("lab-worker-1", "worker", "10.0.0.2")
LIVE: Any = SimpleNamespace(
    spec=ClusterSpec("lab"), nodes=(MASTER, WORKER), master=MASTER, hub=MASTER, ssh_config=Path("/k/ssh_config")
)


@pytest.mark.parametrize(
    ("name", "node"),
    [(None, MASTER), ("master", MASTER), ("lab-master", MASTER), ("worker-1", WORKER), ("lab-worker-1", WORKER)],
)
def test_nodes_are_found_by_name_or_its_end(name: str | None, node: Node) -> None:
    assert find_node(LIVE, name) == node


def test_an_unknown_node_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="no node 'lab-worker-7'") as caught:
        find_node(LIVE, "lab-worker-7")
    assert "lab-worker-1" in caught.value.hint


def test_the_command_follows_a_dash() -> None:
    assert ssh_argv(LIVE, WORKER, ("uptime", "-p")) == [
        "ssh",
        "-F",
        "/k/ssh_config",
        "lab-worker-1",
        "--",
        "uptime",
        "-p",
    ]
    assert ssh_argv(LIVE, WORKER, ()) == ["ssh", "-F", "/k/ssh_config", "lab-worker-1"]


@pytest.mark.parametrize(("codes", "highest"), [((), 0), ((0, 0), 0), ((0, 3, 1), 3), ((255, 1), 255)])
def test_the_highest_exit_code(codes: tuple[int, ...], highest: int) -> None:
    assert highest_exit_code({str(code): Result((), code, "", "") for code in codes}) == highest


class Fleet:
    """Stands for adapters.ssh.Fleet."""

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, nodes: tuple[Node, ...], command: str, *, timeout: float | None) -> dict[str, Result]:
        return {node.name: Result((command, str(timeout)), 0, "", "") for node in nodes}


def live(*nodes: Node) -> Any:
    roles = {role: tuple(node for node in nodes if node.role == role) for role in ("master", "hub", "worker")}
    return SimpleNamespace(
        spec=ClusterSpec("lab"),
        nodes=nodes,
        hub=with_hub(nodes),
        workers=roles["worker"],
        with_role=roles.__getitem__,
        fleet=Fleet,
    )


@pytest.mark.parametrize(
    ("role", "names"),
    [("all", ["lab-master", "lab-worker-1"]), ("master", ["lab-master"]), ("workers", ["lab-worker-1"])],
)
def test_a_command_runs_on_the_nodes_of_a_role(role: str, names: list[str]) -> None:
    results = run(live(MASTER, WORKER), role, "uptime", 5)
    assert list(results) == names
    assert {result.argv for result in results.values()} == {("uptime", "5")}


def test_a_role_that_no_node_has_is_refused() -> None:
    with pytest.raises(UsageError, match="cluster lab has no workers"):
        run(live(MASTER), "workers", "uptime")
