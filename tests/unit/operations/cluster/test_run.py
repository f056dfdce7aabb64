from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from provision.base.errors import UsageError
from provision.base.model import ClusterSpec, Node
from provision.operations.cluster.run import find_node, ssh_argv

MASTER = Node("lab-master", "master", "10.0.0.1")
WORKER = Node("lab-worker-1", "worker", "10.0.0.2")
LIVE: Any = SimpleNamespace(
    spec=ClusterSpec("lab"), nodes=(MASTER, WORKER), master=MASTER, ssh_config=Path("/k/ssh_config")
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
