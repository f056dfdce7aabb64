"""Containers' logs: parsing lines, and filtering them."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from provision.base.errors import UsageError
from provision.model.localcloud.settings import base_service
from provision.model.logs import Line, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class LogSource:
    """A container whose log is read, named as `nova-api-1`, or as `nova-api-1@host-2` on several hosts."""

    id: str
    service: str
    name: str
    running: bool = True

    @property
    def names(self) -> frozenset[str]:
        """Names that select it: its own with or without the host, its Compose service's, a member's service's."""
        return frozenset({self.service, base_service(self.service), self.name, self.name.partition("@")[0]})


# An unfinished line that is followed by so many parts of others was cut off: its container was restarted.
_CUT_OFF: Final = 32


def lines_of(source: LogSource, frames: Iterable[bytes]) -> Iterator[Line]:
    """Read a container's log as Docker sends it: `TIME TEXT` a line.

    A long line comes in parts of 16 KiB, each with the time of the first part. A container's stdout and stderr reach
    Docker through two pipes, so there may be another line between two parts.
    """
    unfinished: dict[bytes, list[bytes]] = {}
    newest: dict[bytes, int] = {}
    for count, part in enumerate(part for frame in frames for part in io.BytesIO(frame)):
        # Lines are not split with splitlines(): here a carriage return does not end a line.
        stamp, _, text = part.partition(b" ")
        unfinished.setdefault(stamp, []).append(text)
        newest[stamp] = count
        ended = [each for each in unfinished if count - newest[each] >= _CUT_OFF]
        if part.endswith(b"\n"):
            ended.append(stamp)
        for each in ended:
            yield _line(source, each, unfinished.pop(each))
            del newest[each]
    for each, parts in unfinished.items():
        yield _line(source, each, parts)


def _line(source: LogSource, stamp: bytes, parts: list[bytes]) -> Line:
    text = b"".join(parts).decode(errors="replace")
    return Line(stamp.decode().rstrip(), source.name, plain(text), source.service)


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which lines of a log are wanted: those that match a pattern, those of an API request, or both.

    `request` is the request's id, which every service logs that the request passes through.
    """

    pattern: re.Pattern[str] | None = None
    request: str = ""

    def __bool__(self) -> bool:
        return bool(self.pattern or self.request)


# Lines of a traceback that carry no request id; in Nova's they name the instance.
_TRACEBACK: Final = re.compile(r"[-\d]+ [:.\d]+ \d+ (?:ERROR|CRITICAL|TRACE) \S+ (?!\[(?!instance: ))")
# Nova logs its answer to a health check under the id of the request that its process handled before.
_HEALTH_CHECK: Final = '"GET /" status: '


def matching(lines: Iterable[Line], wanted: LogFilter) -> Iterator[Line]:
    """Select from one replica's lines. A request's lines include the tracebacks that follow them."""
    inside = False
    for line in lines:
        if wanted.request:
            inside = wanted.request in line.text or (inside and bool(_TRACEBACK.match(line.text)))
            if not inside or _HEALTH_CHECK in line.text:
                continue
        if wanted.pattern and not wanted.pattern.search(line.text):
            continue
        yield line


def read_filter(pattern: str | None, request: str | None) -> LogFilter:
    """Read --grep and --request-id; raises UsageError for invalid values."""
    try:
        compiled = re.compile(pattern) if pattern else None
    except re.error as error:
        raise UsageError(
            f"--grep: {pattern!r} is not a regular expression: {error}",
            "Put a backslash before . * + ? ( ) [ ] { } | ^ $.",
        ) from None
    if request and not re.fullmatch(r"req-[0-9a-f-]{6,36}", request):
        raise UsageError(
            f"--request-id: {request!r} is not a request id",
            "APIs return it in the header X-Openstack-Request-Id and in errors: req-1200fdca-4bb2-….",
        )
    return LogFilter(compiled, request or "")


def select_sources(sources: Iterable[LogSource], names: Iterable[str]) -> list[LogSource]:
    """Select containers by a service's name or their own, all by default; raises UsageError for an unknown name."""
    everything = sorted(sources, key=lambda each: each.name)
    wanted = set(names)
    if not wanted:
        return everything
    unknown = wanted.difference(*(each.names for each in everything))
    if unknown:
        services = ", ".join(sorted({each.service for each in everything}))
        raise UsageError(f"there is no service {sorted(unknown)[0]!r}", f"The services are: {services}.")
    return [each for each in everything if wanted & each.names]
