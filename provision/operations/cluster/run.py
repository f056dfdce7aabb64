"""Commands on nodes: one shell, or one command on many nodes at once."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from provision.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provision.adapters.host.process import Result
    from provision.base.model import Node
    from provision.operations.cluster.nodes import LiveCluster

ROLES: Final = ("master", "hub", "workers", "all")


def find_node(cluster: LiveCluster, name: str | None) -> Node:
    """Find a node by its name, by `master` or `hub`, or by the end of its name (`worker-1`).

    `hub` and None mean the node with the Hub, which is the master unless the spec puts it elsewhere. Raises UsageError
    when there is no such node.
    """
    if name in (None, "hub"):
        return cluster.hub
    if name == "master":
        return cluster.master
    nodes = {node.name: node for node in cluster.nodes}
    for full_name in (name, f"{cluster.spec.name}-{name}"):
        if full_name in nodes:
            return nodes[full_name]
    similar = difflib.get_close_matches(str(name), nodes, n=1)
    hint = f"Did you mean {similar[0]}?" if similar else f"It has: {', '.join(nodes)}."
    raise UsageError(f"cluster {cluster.spec.name} has no node {name!r}", hint)


def ssh_argv(cluster: LiveCluster, node: Node, command: Sequence[str]) -> list[str]:
    """Return the OpenSSH command line for a shell on a node, or for one command there, its words unchanged."""
    return ["ssh", "-F", str(cluster.ssh_config), node.name, *(["--", *command] if command else [])]


def run(cluster: LiveCluster, role: str, command: str, timeout: float | None = None) -> dict[str, Result]:
    """Run a shell command on every node of a role (one of ROLES); every node has a result."""
    nodes = {
        "master": cluster.with_role("master"),
        "hub": (cluster.hub,),
        "workers": cluster.workers,
        "all": cluster.nodes,
    }[role]
    if not nodes:
        raise UsageError(f"cluster {cluster.spec.name} has no {role}", "See `provision status`.")
    with cluster.fleet() as fleet:
        return fleet.run(nodes, command, timeout=timeout)


def highest_exit_code(results: Mapping[str, Result]) -> int:
    """Return the highest exit code of a command that was run on many nodes."""
    return max((result.code for result in results.values()), default=0)
