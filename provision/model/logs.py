"""Logs of many writers as one: a line, the order of time, and what --since means."""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from typing import TYPE_CHECKING, Final

from provision.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """One line of a log. `time` is in UTC (ISO 8601, with a fixed number of digits): as text it sorts by time."""

    time: str
    source: str
    """Who wrote it: a replica of a service, or a node."""
    text: str
    service: str = field(compare=False, default="")
    """The replica's service, or the node's unit."""

    @property
    def moment(self) -> float:
        """The time in seconds since 1970, as exact as a float can be."""
        return datetime.fromisoformat(self.time[:26] + "+00:00").timestamp()


# Colours, cursor movements, and all else that a terminal would interpret.
_STEERING: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """Remove from a line what would steer the terminal that shows it."""
    return _STEERING.sub("", text).rstrip()


def utc(microseconds: int) -> str:
    """Write a time, in microseconds since 1970, as a line has it."""
    return (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def merged(streams: Iterable[Iterable[Line]]) -> Iterator[Line]:
    """Merge logs into one, in order of time."""
    return heapq.merge(*(_sorted(stream) for stream in streams))


def _sorted(lines: Iterable[Line], reach: int = 64) -> Iterator[Line]:
    """Sort lines that are almost sorted: a container's stdout and stderr reach Docker through two pipes."""
    waiting: list[Line] = []
    for line in lines:
        if len(waiting) < reach:
            heapq.heappush(waiting, line)
        else:
            yield heapq.heappushpop(waiting, line)
    while waiting:
        yield heapq.heappop(waiting)


class Window:
    """Holds each line back for `span` seconds, so that a line that arrives late is still put in order."""

    def __init__(self, span: float) -> None:
        self._span = span
        self._waiting: list[tuple[Line, float]] = []

    def push(self, line: Line, now: float) -> None:
        """Add a line that arrived at `now` (seconds of a monotonic clock)."""
        heapq.heappush(self._waiting, (line, now))

    def ready(self, now: float) -> list[Line]:
        """Remove and return, in order, all lines up to the last one that was held long enough."""
        due = max((line for line, arrived in self._waiting if arrived + self._span <= now), default=None)
        found = []
        while due and self._waiting and self._waiting[0][0] <= due:
            found.append(heapq.heappop(self._waiting)[0])
        return found


_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO: Final = re.compile(
    r"(?P<sign>-)? *(?P<spans>(?:\d+ *(?:s|sec|seconds?|m|min|minutes?|h|hr|hours?|d|days?|w|weeks?) *)+)(?P<ago> ago)?"
)
_SPAN: Final = re.compile(r"(\d+) *([smhdw])[a-z]*")


def read_since(text: str, now: datetime) -> float:
    """Read --since: `10m`, `10min`, `1h 30m ago`, `today`, `yesterday`, or a time in ISO 8601, as journalctl has them.

    A time without a zone is of this machine's, as `now` is. Returns seconds since 1970. Raises UsageError for anything
    else.
    """
    wanted = text.strip().lower()
    try:
        if wanted in ("today", "yesterday"):
            day = now.date() - timedelta(days=wanted == "yesterday")
            # On a day on which clocks change, midnight has another distance from UTC than now.
            moment = datetime.combine(day, clock()).astimezone().timestamp()
        elif _AGO.fullmatch(wanted):
            ago = timedelta(0)
            for number, unit in _SPAN.findall(wanted):
                ago += timedelta(**{_UNITS[unit]: int(number)})
            moment = (now - ago).timestamp()
        elif re.fullmatch(r"\d\d:\d\d(:\d\d)?", wanted):
            moment = datetime.fromisoformat(f"{now:%Y-%m-%d} {wanted}").astimezone().timestamp()
        else:
            moment = datetime.fromisoformat(text.strip()).astimezone().timestamp()
    except (ValueError, OverflowError):
        raise UsageError(
            f"--since: {text!r} is not a time", "Write 90s, 10m, 2h, 1d, today, 14:00 or 2026-03-01T14:00."
        ) from None
    # Neither Docker nor journald accepts a time before 1970.
    return max(moment, 1.0)
