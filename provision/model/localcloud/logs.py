"""Log lines of many containers as one log: parsed, put into the order of time, and chosen from; touches nothing."""

from __future__ import annotations

import heapq
import io
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from provision.base.errors import UsageError
from provision.model.localcloud.settings import base_service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class LogSource:
    """A container as the logs name it: `nova-api-1` is a copy of `nova-api`; on several hosts, `nova-api-1@host-2`."""

    id: str
    service: str
    name: str
    running: bool = True

    @property
    def names(self) -> frozenset[str]:
        """By which names it is asked for: a member also by its service's, a copy without its host's."""
        return frozenset({self.service, base_service(self.service), self.name, self.name.partition("@")[0]})


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """One line of one copy; `time` is Docker's own, in UTC to the nanosecond: as text it sorts as time does."""

    time: str
    copy: str
    text: str
    service: str = field(compare=False, default="")

    @property
    def moment(self) -> float:
        """The time in seconds since 1970, as exact as a float can be."""
        return datetime.fromisoformat(self.time[:26] + "+00:00").timestamp()


# Colours and cursor movements of the program, and whatever else would steer a terminal.
_STEERING: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


# An unfinished line with so many parts of others behind it was cut off: its container ended, and was started again.
_CUT_OFF: Final = 32


def lines_of(copy: LogSource, frames: Iterable[bytes]) -> Iterator[Line]:
    """Read what Docker sends for a copy: `TIME TEXT` a line.

    A long line comes in parts of 16 KiB, each with the time of the first before it. A container's output and its
    errors reach Docker by two pipes, so another line may stand between two parts.
    """
    unfinished: dict[bytes, list[bytes]] = {}
    newest: dict[bytes, int] = {}
    for count, part in enumerate(part for frame in frames for part in io.BytesIO(frame)):
        # Not splitlines(): a carriage return ends no line here.
        stamp, _, text = part.partition(b" ")
        unfinished.setdefault(stamp, []).append(text)
        newest[stamp] = count
        ended = [each for each in unfinished if count - newest[each] >= _CUT_OFF]
        if part.endswith(b"\n"):
            ended.append(stamp)
        for each in ended:
            yield _line(copy, each, unfinished.pop(each))
            del newest[each]
    for each, parts in unfinished.items():
        yield _line(copy, each, parts)


def _line(copy: LogSource, stamp: bytes, parts: list[bytes]) -> Line:
    text = b"".join(parts).decode(errors="replace")
    return Line(stamp.decode().rstrip(), copy.name, _plain(text), copy.service)


def _plain(text: str) -> str:
    return _STEERING.sub("", text).rstrip()


def merged(streams: Iterable[Iterable[Line]]) -> Iterator[Line]:
    """Make one log of many, in the order of time."""
    return heapq.merge(*(_sorted(stream) for stream in streams))


def _sorted(lines: Iterable[Line], reach: int = 64) -> Iterator[Line]:
    """Sort lines that are almost sorted: a container's output and its errors reach Docker by two pipes."""
    waiting: list[Line] = []
    for line in lines:
        if len(waiting) < reach:
            heapq.heappush(waiting, line)
        else:
            yield heapq.heappushpop(waiting, line)
    while waiting:
        yield heapq.heappop(waiting)


class Window:
    """Holds each line for `span` seconds, so that one that arrives late still finds its place in the order of time."""

    def __init__(self, span: float = 0.5) -> None:
        self._span = span
        self._waiting: list[tuple[Line, float]] = []

    def push(self, line: Line, now: float) -> None:
        """Take a line that has arrived `now` (seconds of any clock that only goes forward)."""
        heapq.heappush(self._waiting, (line, now))

    def ready(self, now: float) -> list[Line]:
        """Give out, in order, all up to the last line that has been held long enough."""
        due = max((line for line, arrived in self._waiting if arrived + self._span <= now), default=None)
        found = []
        while due and self._waiting and self._waiting[0][0] <= due:
            found.append(heapq.heappop(self._waiting)[0])
        return found


@dataclass(frozen=True, slots=True)
class Wish:
    """What of a log is asked for; a request is followed by its id, which every service writes down that it passes."""

    pattern: re.Pattern[str] | None = None
    request: str = ""

    def __bool__(self) -> bool:
        return bool(self.pattern or self.request)


# A traceback's lines carry no id; those of Nova name the instance.
_TRACEBACK: Final = re.compile(r"[-\d]+ [:.\d]+ \d+ (?:ERROR|CRITICAL|TRACE) \S+ (?!\[(?!instance: ))")
# Nova writes down its answer to a health check with the id of the request that this process had before.
_HEALTH_CHECK: Final = '"GET /" status: '


def matching(lines: Iterable[Line], wish: Wish) -> Iterator[Line]:
    """Choose from one copy's lines; a request's lines include the tracebacks that follow them."""
    inside = False
    for line in lines:
        if wish.request:
            inside = wish.request in line.text or (inside and bool(_TRACEBACK.match(line.text)))
            if not inside or _HEALTH_CHECK in line.text:
                continue
        if wish.pattern and not wish.pattern.search(line.text):
            continue
        yield line


def read_wish(pattern: str | None, request: str | None) -> Wish:
    """Read --grep and --request-id; raises UsageError for what can't be one."""
    try:
        compiled = re.compile(pattern) if pattern else None
    except re.error as error:
        raise UsageError(
            f"--grep: {pattern!r} is no regular expression: {error}", "put a backslash before . * + ? ( ) [ ] { } | ^ $"
        ) from None
    if request and not re.fullmatch(r"req-[0-9a-f-]{6,36}", request):
        raise UsageError(
            f"--request-id: {request!r} is no request id",
            "an API says it in the header X-Openstack-Request-Id and in its errors: req-1200fdca-4bb2-…",
        )
    return Wish(compiled, request or "")


_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read_since(text: str, now: datetime) -> float:
    """Read --since, `10m`, `1h30m` or a time (ISO 8601, by default of this zone); return seconds since 1970.

    Raises UsageError for anything else.
    """
    try:
        if re.fullmatch(r"(\d+[smhd])+", text):
            ago = {_UNITS[unit]: int(number) for number, unit in re.findall(r"(\d+)([smhd])", text)}
            moment = (now - timedelta(**ago)).timestamp()
        else:
            moment = datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError):
        raise UsageError(f"--since: {text!r} is no time", "say 90s, 10m, 2h, 1d or 2026-03-01T14:00") from None
    # Docker takes nothing before 1970.
    return max(moment, 1.0)


def select_copies(copies: Iterable[LogSource], asked: Iterable[str]) -> list[LogSource]:
    """Choose copies by service or by their own name, all by default; raises UsageError for what there is not."""
    everyone = sorted(copies, key=lambda each: each.name)
    wanted = set(asked)
    if not wanted:
        return everyone
    unknown = wanted.difference(*(each.names for each in everyone))
    if unknown:
        there = ", ".join(sorted({each.service for each in everyone}))
        raise UsageError(f"there is no service {sorted(unknown)[0]!r}", f"one of: {there}")
    return [each for each in everyone if wanted & each.names]
