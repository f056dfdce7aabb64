"""Commands on nodes: one shell, or one command on many nodes at once."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from provision.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.adapters.host.process import Result
    from provision.base.model import Node
    from provision.operations.cluster.nodes import Live

ROLES: Final = ("master", "workers", "all")


def choose(live: Live, name: str | None) -> Node:
    """Find a node by its name, `master`, or the end of its name (`worker-1`); raises UsageError.

    None is the master.
    """
    if name in (None, "master"):
        return live.master
    names = {node.name: node for node in live.nodes}
    for wanted in (name, f"{live.spec.name}-{name}"):
        if wanted in names:
            return names[wanted]
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"It has: {', '.join(names)}."
    raise UsageError(f"cluster {live.spec.name} has no node {name!r}", hint)


def ssh_argv(live: Live, node: Node, command: Sequence[str]) -> list[str]:
    """Return the OpenSSH command line for a shell on a node, or for one command there, in the words that were given."""
    return ["ssh", "-F", str(live.ssh_config), node.name, *(["--", *command] if command else [])]


def run(live: Live, role: str, command: str, timeout: float | None = None) -> dict[str, Result]:
    """Run a shell command on every node of a role (`master`, `workers`, `all`); every node has a result."""
    chosen = {"master": live.of("master"), "workers": live.of("worker"), "all": live.nodes}[role]
    if not chosen:
        raise UsageError(f"cluster {live.spec.name} has no {role}", "See `provision status`.")
    with live.fleet() as fleet:
        return fleet.run(chosen, command, timeout=timeout)
