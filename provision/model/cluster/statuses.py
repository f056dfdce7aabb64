"""Server statuses: those that pass by themselves, that `up` ends, and that somebody else has to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.base.errors import UsageError

if TYPE_CHECKING:
    from provision.model.cluster.resources import Server

STARTABLE: Final = {"SHUTOFF", "PAUSED", "SUSPENDED", "SHELVED", "SHELVED_OFFLOADED"}
"""Statuses that a step `start` ends."""
BUILDING: Final = {"BUILD", "REBUILD", "REBOOT", "HARD_REBOOT", "MIGRATING", "RESIZE", "REVERT_RESIZE", "PASSWORD"}
"""Statuses that pass by themselves."""
DELETED: Final = "DELETED"
SOFT_DELETED: Final = "SOFT_DELETED"
"""The status of a deleted server that the cloud keeps for a while: only a question for its id finds it."""
_STUCK: Final = {
    "RESCUE": "Somebody repairs it. End that with `openstack server unrescue {id}`, and run it again.",
    "VERIFY_RESIZE": "Decide with `openstack server resize confirm {id}` or `… resize revert {id}`, and run it again.",
    "UNKNOWN": "The cloud has lost its hypervisor. Ask the cloud's administrator, and run it again.",
}


def refuse_stuck(server: Server) -> None:
    """Raise UsageError for a server in a status that neither passes by itself nor can be ended by starting it."""
    if server.status in {"ACTIVE", "ERROR", *STARTABLE, *BUILDING}:
        return
    hint = _STUCK.get(server.status, "See `openstack server show {id}`; run it again once it is ACTIVE or SHUTOFF.")
    raise UsageError(f"server {server.label} is {server.status}, and `up` cannot end that", hint.format(id=server.id))
