"""The logs of all containers of the `local` cloud as one, in the order of time."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from provision.adapters.docker.logs import Logs
from provision.adapters.docker.swarm_logs import SwarmLogs
from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.logs import Line, LogFilter, Window, lines_of, matching, merged, select_sources
from provision.operations.localcloud.shared import installation
from provision.operations.localcloud.swarm import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from provision.model.localcloud.logs import LogSource

_LOOK: Final = 1.0
"""Seconds after which new copies are looked for."""


class Door(Protocol):
    """Where logs come from (adapters/docker/logs.py, adapters/docker/swarm_logs.py)."""

    def copies(self) -> list[LogSource]:
        """List all containers."""

    def frames(
        self, copy: LogSource, *, since: float | None = None, tail: int | None = None, follow: bool = False
    ) -> Iterator[bytes]:
        """Yield one container's log."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked: services (or copies; all by default), what of their lines, since when (seconds since 1970)."""

    services: tuple[str, ...] = ()
    wish: LogFilter = LogFilter()  # noqa: RUF009 - frozen
    since: float | None = None
    tail: int | None = None
    """How many lines of each copy are shown at most, of those that are wished for."""
    follow: bool = False


def door_to_logs(say: Callable[[str], None]) -> Door:
    """Return the logs of this machine's cloud, or of all hosts' of its Swarm; `say` is told what cannot be read."""
    settings = installation.load_settings()
    return SwarmLogs(files.door(settings), say) if settings.swarm else Logs()


def copies_of(door: Door, services: Sequence[str]) -> list[LogSource]:
    """List the copies that are asked for; raises UsageError for a service that there is not."""
    everyone = door.copies()
    if not everyone:
        raise UsageError("there is no local cloud on this machine", "start it with `provision cloud up`")
    return select_sources(everyone, services)


def stack_logs(door: Door, query: Query, copies: Sequence[LogSource]) -> Iterator[Line]:
    """Yield the copies' lines; followed, it never ends, and takes in copies that come."""
    began = time.time()
    last = {copy.id: "" for copy in copies}

    def kept(copy: LogSource) -> Iterable[Line]:
        # Docker's own tail counts lines of the whole log.
        frames = door.frames(copy, since=query.since, tail=None if query.wish else query.tail)
        lines = matching(_noted(lines_of(copy, frames), copy, last), query.wish)
        return deque(lines, query.tail) if query.wish and query.tail is not None else lines

    yield from merged(kept(copy) for copy in copies)
    if query.follow:
        yield from _Follower(door, query, last, began).lines()


def _noted(lines: Iterable[Line], copy: LogSource, last: dict[str, str]) -> Iterator[Line]:
    """Pass on the lines that are new of a copy, and keep the time of the last one in `last`."""
    known = last.get(copy.id, "")
    for line in lines:
        if line.time > known:
            last[copy.id] = max(line.time, last.get(copy.id, ""))
            yield line


class _Follower:
    """Reads every running copy in a thread of its own, and looks once a second whether there are others."""

    def __init__(self, door: Door, query: Query, last: dict[str, str], began: float) -> None:
        self._door = door
        self._services = set(query.services)
        self._wish = query.wish
        self._last = last
        self._began = began
        # Lines, the copy whose log has ended, or why reading failed.
        self._arrivals: queue.SimpleQueue[Line | LogSource | ProvisionError] = queue.SimpleQueue()
        self._reading: set[str] = set()

    def lines(self) -> Iterator[Line]:
        """Yield lines for ever; raises ProvisionError when Docker goes away."""
        window = Window()
        looked = float("-inf")
        while True:
            if time.monotonic() - looked >= _LOOK:
                looked = time.monotonic()
                self._look()
            for line in self._arrived():
                window.push(line, time.monotonic())
            yield from window.ready(time.monotonic())

    def _look(self) -> None:
        for copy in self._door.copies():
            asked = not self._services or copy.names & self._services
            if asked and copy.running and copy.id not in self._reading:
                self._reading.add(copy.id)
                threading.Thread(target=self._read, args=(copy,), daemon=True).start()

    def _read(self, copy: LogSource) -> None:
        # What said nothing so far is read from our own start on, and what came later from its own.
        since = None
        if copy.id in self._last:
            after = self._last[copy.id]
            # A millisecond early: Docker gets the time as a float, and what was seen is left out here.
            since = Line(after, "", "").moment - 0.001 if after else self._began
        try:
            frames = self._door.frames(copy, since=since, follow=True)
            for line in matching(_noted(lines_of(copy, frames), copy, self._last), self._wish):
                self._arrivals.put(line)
        except ProvisionError as error:
            self._arrivals.put(error)
        self._arrivals.put(copy)

    def _arrived(self) -> Iterator[Line]:
        """Take what has arrived (some of it, when there is much), waiting a moment for the first."""
        try:
            arrived = self._arrivals.get(timeout=0.1)
            for _ in range(1000):
                if isinstance(arrived, ProvisionError):
                    raise arrived
                if isinstance(arrived, Line):
                    yield arrived
                else:
                    # When it is started again, it is read again.
                    self._reading.discard(arrived.id)
                arrived = self._arrivals.get_nowait()
        except queue.Empty:
            return
