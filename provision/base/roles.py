"""Which of a cluster's nodes carries the Hub, and with it everybody's notebooks, drivers and files: asked here alone.

Where the spec is at hand, ClusterSpec.hub_role says the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provision.base.model import Role


class HasRole(Protocol):
    """A node in one of its shapes: in the cloud, live, observed."""

    @property
    def role(self) -> Role:
        """What it is for."""


_Node = TypeVar("_Node", bound=HasRole)


def with_hub(nodes: Iterable[_Node]) -> _Node | None:
    """Return the node with the Hub: the Hub's own if there is one, else the master; None if there is neither."""
    found = {node.role: node for node in reversed([*nodes])}
    return found.get("hub") or found.get("master")


def first_of(role: Role) -> int:
    """Return a key that sorts nodes: the master, the Hub's own node, the workers."""
    return ("master", "hub", "worker").index(role)
