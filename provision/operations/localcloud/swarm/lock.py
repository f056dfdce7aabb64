"""One command at a time changes the control plane of several hosts: the others wait, on whichever host they are."""

from __future__ import annotations

import signal
import threading
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
"""Seconds to wait for one host's command: `cloud up` from nothing builds all images."""
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
_FREED: Final = f"`provision cloud up` there or `docker config rm {LOCK}` on any host lets others begin."


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
    turn = _Turn(swarm, progress)
    with _orderly_end():
        try:
            # Each host whose turn comes before has its own time.
            while not poll.until(turn.ask, timeout=_TIMEOUT, too_late=_too_late):
                pass
            yield
        finally:
            # One that stays, as this host has left meanwhile or no majority answers, is none to the next command.
            with suppress(ProvisionError):
                swarm.drop_lock(mine)


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Let a signal that ends this process raise SystemExit, so that what is held is given back."""
    if threading.current_thread() is not threading.main_thread():
        # Python has handlers of signals in the main thread alone.
        yield
        return
    before = {number: signal.getsignal(number) for number in _ENDING}
    # What is ignored stays so: a command under nohup outlives its terminal.
    taken = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]

    def end(number: int, _: object) -> None:
        # Once: a second one, as a terminal and a shell send, may not end what gives the lock back.
        for each in taken:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    try:
        for number in taken:
            signal.signal(number, end)
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])


class _Turn:
    def __init__(self, swarm: Swarm, progress: Progress) -> None:
        self._swarm = swarm
        self._progress = progress
        self._before = ""

    def ask(self) -> bool | Pending:
        """Take the lock; return False when another host has it than before, else Pending with the host."""
        holder, mine = self._swarm.take_lock(), self._swarm.host_id()
        if holder == mine:
            return True
        name = next((host.name for host in self._swarm.hosts() if host.id == holder and host.ready), "")
        if not name:
            self._swarm.drop_lock(holder)
        elif name != self._before:
            self._progress.note(
                f"A `provision cloud` command on {name} has begun, and not ended: waiting for it. If none runs there "
                f"any more, {_FREED}"
            )
            self._before = name
            return False
        return Pending(name or "another host")


def _too_late(holder: str) -> ProvisionError:
    return ProvisionError(
        f"a `provision cloud` command on {holder} has not ended for {_TIMEOUT // 60} minutes",
        f"If none runs there any more, {_FREED}",
    )
