"""`provision cloud logs`: the logs of all containers of the local cloud as one, in the order of time."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from provision.base.errors import UsageError
from provision.model.localcloud.logs import LogFilter, lines_of, matching, select_sources
from provision.model.logs import Line, merged
from provision.operations.logs.following import LATE, Following

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from provision.model.localcloud.logs import LogSource

_REFRESH: Final = 0.5
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
    """Reads every running container, and looks for new ones."""

    def __init__(self, reader: LogReader, query: Query, last: dict[str, str], started: float) -> None:
        self._reader = reader
        self._services = set(query.services)
        self._wish = query.wish
        self._last = last
        self._started = started
        self._following = Following(held=_REFRESH + LATE)

    def lines(self) -> Iterator[Line]:
        """Yield lines for ever; raises ProvisionError when Docker no longer answers."""
        return self._following.lines(self._refresh, every=_REFRESH)

    def _refresh(self) -> None:
        """Start to read the containers that are new, or that were started again."""
        for source in self._reader.sources():
            selected = not self._services or source.names & self._services
            if selected and source.running:
                self._following.read(source.id, partial(self._read, source))

    def _read(self, source: LogSource) -> Iterator[Line]:
        # From the last line on; without any line so far, from our own start; a new container from its beginning.
        since = None
        if source.id in self._last:
            after = self._last[source.id]
            # A millisecond early: Docker takes the time as a float, and known lines are dropped here.
            since = Line(after, "", "").moment - 0.001 if after else self._started
        frames = self._reader.frames(source, since=since, follow=True)
        return matching(_new_lines(lines_of(source, frames), source, self._last), self._wish)
