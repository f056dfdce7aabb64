"""One command at a time changes the control plane of several hosts: the others wait, on whichever host they are."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from provision.adapters.docker.swarm import LOCK
from provision.base import poll
from provision.base.errors import ProvisionError
from provision.base.poll import Pending

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.adapters.docker.swarm import Swarm
    from provision.base.progress import Progress

_TIMEOUT: Final = 3600
"""Seconds to wait for another host's command: `cloud up` from nothing builds all images."""


@contextmanager
def swarm_lock(swarm: Swarm, progress: Progress) -> Iterator[None]:
    """Hold the Swarm's lock; to be called with this host's own lock held (exclusive_lock).

    Raises ProvisionError with the host that holds it if that takes too long. A host that has left, or is away, holds
    nothing; what has this host's name was left by a command that was killed.
    """
    if swarm.state() != ("active", True):
        # There is nothing of the others' that this host could change.
        yield
        return
    mine = swarm.host_id()
    poll.until(_Turn(swarm, progress).ask, timeout=_TIMEOUT, too_late=_too_late)
    try:
        yield
    finally:
        # One that stays, as this host has left meanwhile or no majority answers, is none to the next command.
        with suppress(ProvisionError):
            swarm.drop_lock(mine)


class _Turn:
    def __init__(self, swarm: Swarm, progress: Progress) -> None:
        self._swarm = swarm
        self._progress = progress
        self._said = ""

    def ask(self) -> Pending | None:
        """Take the lock; return Pending with the host that has it."""
        holder, mine = self._swarm.take_lock(), self._swarm.host_id()
        if holder == mine:
            return None
        name = next((host.name for host in self._swarm.hosts() if host.id == holder and host.ready), "")
        if not name:
            self._swarm.drop_lock(holder)
        elif name != self._said:
            self._progress.note(f"A `provision cloud` command is running on {name}: waiting for it.")
            self._said = name
        return Pending(name or "another host")


def _too_late(holder: str) -> ProvisionError:
    return ProvisionError(
        f"a `provision cloud` command on {holder} has not ended for {_TIMEOUT // 60} minutes",
        f"If none runs there any more, `docker config rm {LOCK}` on any host lets others begin.",
    )
