"""`provision cloud logs`: the logs of all containers of the local cloud as one, in the order of time."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.logs import Line, LogFilter, Window, lines_of, matching, merged, select_sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from provision.model.localcloud.logs import LogSource

_REFRESH: Final = 1.0
"""Seconds between two looks for new containers while logs are followed."""


class LogReader(Protocol):
    """Reads the logs of containers (adapters/docker/logs.py, adapters/docker/swarm_logs.py)."""

    def sources(self) -> list[LogSource]:
        """Return all containers."""

    def frames(
        self, source: LogSource, /, *, since: float | None = None, tail: int | None = None, follow: bool = False
    ) -> Iterator[bytes]:
        """Yield the log of one container."""


@dataclass(frozen=True, slots=True)
class Query:
    """Which lines to read."""

    services: tuple[str, ...] = ()
    """Services, or names of single replicas; all by default."""
    wish: LogFilter = LogFilter()  # noqa: RUF009 - frozen
    """Which of their lines."""
    since: float | None = None
    """Only lines after this time, in seconds since 1970."""
    tail: int | None = None
    """At most so many lines of each container, of those that match `wish`."""
    follow: bool = False
    """Whether to go on as new lines come."""


def find_sources(reader: LogReader, services: Sequence[str]) -> list[LogSource]:
    """Return the containers of some services, or all; raises UsageError for an unknown service."""
    sources = reader.sources()
    if not sources:
        raise UsageError("there is no local cloud on this machine", "Start it with `provision cloud up`.")
    return select_sources(sources, services)


def read_logs(reader: LogReader, query: Query, sources: Sequence[LogSource]) -> Iterator[Line]:
    """Yield the lines of these containers in the order of time.

    With `follow` it never ends, and includes containers that are started later.
    """
    started = time.time()
    last = {source.id: "" for source in sources}

    def stored(source: LogSource) -> Iterable[Line]:
        # Docker's own tail counts all lines of a log, not only those that match.
        frames = reader.frames(source, since=query.since, tail=None if query.wish else query.tail)
        lines = matching(_new_lines(lines_of(source, frames), source, last), query.wish)
        return deque(lines, query.tail) if query.wish and query.tail is not None else lines

    yield from merged(stored(source) for source in sources)
    if query.follow:
        yield from _Follower(reader, query, last, started).lines()


def _new_lines(lines: Iterable[Line], source: LogSource, last: dict[str, str]) -> Iterator[Line]:
    """Yield the new lines of a container, and keep the time of the last one in `last`."""
    known = last.get(source.id, "")
    for line in lines:
        if line.time > known:
            last[source.id] = max(line.time, last.get(source.id, ""))
            yield line


class _Follower:
    """Reads every running container in a thread of its own, and looks for new ones once a second."""

    def __init__(self, reader: LogReader, query: Query, last: dict[str, str], started: float) -> None:
        self._reader = reader
        self._services = set(query.services)
        self._wish = query.wish
        self._last = last
        self._started = started
        # Lines, the container whose log has ended, or why reading failed.
        self._arrivals: queue.SimpleQueue[Line | LogSource | ProvisionError] = queue.SimpleQueue()
        self._reading: set[str] = set()

    def lines(self) -> Iterator[Line]:
        """Yield lines for ever; raises ProvisionError when Docker no longer answers."""
        window = Window()
        refreshed = float("-inf")
        while True:
            if time.monotonic() - refreshed >= _REFRESH:
                refreshed = time.monotonic()
                self._refresh()
            for line in self._arrived():
                window.push(line, time.monotonic())
            yield from window.ready(time.monotonic())

    def _refresh(self) -> None:
        """Start to read the containers that are new."""
        for source in self._reader.sources():
            selected = not self._services or source.names & self._services
            if selected and source.running and source.id not in self._reading:
                self._reading.add(source.id)
                threading.Thread(target=self._read, args=(source,), daemon=True).start()

    def _read(self, source: LogSource) -> None:
        # From the last line on; without any line so far, from our own start; a new container from its beginning.
        since = None
        if source.id in self._last:
            after = self._last[source.id]
            # A millisecond early: Docker takes the time as a float, and known lines are dropped here.
            since = Line(after, "", "").moment - 0.001 if after else self._started
        try:
            frames = self._reader.frames(source, since=since, follow=True)
            for line in matching(_new_lines(lines_of(source, frames), source, self._last), self._wish):
                self._arrivals.put(line)
        except ProvisionError as error:
            self._arrivals.put(error)
        self._arrivals.put(source)

    def _arrived(self) -> Iterator[Line]:
        """Yield the lines that have arrived, at most 1000, after waiting a moment for the first."""
        try:
            arrived = self._arrivals.get(timeout=0.1)
            for _ in range(1000):
                if isinstance(arrived, ProvisionError):
                    raise arrived
                if isinstance(arrived, Line):
                    yield arrived
                else:
                    # A container that is started again is read again.
                    self._reading.discard(arrived.id)
                arrived = self._arrivals.get_nowait()
        except queue.Empty:
            return
