"""How the boot of each node went, as spans of time with a common zero, and what took long, in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, Any, Final, Literal

from provision.model.logs import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from provision.base.model import Node

Part = Literal["cloud", "system", "cloud-init", "spark", "hub"]
"""What a span is of: it decides its colour."""

EVENTS: Final = {
    "the Spark master is ready": ("spark-master.service", "New state: ALIVE"),
    "registered with the master": ("spark-worker.service", "Successfully registered with master"),
    "the Hub is ready": ("jupyterhub.service", "JupyterHub is now running"),
}
"""Events that matter: the unit that says so, and its words. None is of a unit that starts when somebody asks for it."""
_PARTS: Final[Mapping[str, Part]] = {
    "cloud-init-local": "cloud-init",
    "cloud-init-network": "cloud-init",
    "cloud-config": "cloud-init",
    "cloud-final": "cloud-init",
    "spark-master": "spark",
    "spark-worker": "spark",
    "provision-jvm": "spark",
    "jupyterhub": "hub",
}
"""Units that are always shown."""
_OTHERS: Final = 4
"""Other units of a node that are shown: the longest."""
_NOTABLE: Final = 0.02
"""Part of a node's boot that another unit must have taken to be shown."""
_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
"""Seconds between two marks of an axis."""
_FIRST_BOOT: Final = 900
"""Seconds after the cloud has started a server in which its first kernel has begun."""
_MADE: Final = 3600
"""Seconds that a cloud takes to make a server: one that it has started later was resized or unshelved since."""
_ADDED: Final = 300
"""Seconds after the first server in which the others of the same `up` are asked for."""
_SKEW: Final = 60
"""Seconds that a node's clock may be behind the cloud's."""
_LATE: Final = 14400
"""Seconds after systemd's own end of a boot in which units still start for the first time: emulated, a stock image
installs for an hour and more. A later start is one of many, of a journal that has lost those before."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time, in seconds from the zero of all nodes."""

    label: str
    begin: float
    end: float
    part: Part

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class NodeTimeline:
    """A node's boot."""

    node: str
    spans: tuple[Span, ...] = ()
    note: str = ""
    """A sentence about what is not shown, or where its zero is."""
    from_request: bool = False
    """Whether it begins when the cloud was asked for the server, and not with a kernel."""

    @property
    def end(self) -> float:
        """When the last span ended."""
        return max((span.end for span in self.spans), default=0.0)


@dataclass(frozen=True, slots=True)
class BootTimes:
    """What is known of a node's boot."""

    node: Node
    created: str = ""
    """When the cloud was asked for the server (ISO 8601, UTC); empty if it does not say."""
    launched: str = ""
    """When the cloud has started it the first time."""
    told: Mapping[str, Any] | None = None
    """What adapters/onnode/boot.py has told."""
    problem: str = ""
    """Why it has told nothing."""


def timelines(boots: Iterable[BootTimes]) -> tuple[NodeTimeline, ...]:
    """Return the nodes' boots. Zero is when the first server was asked for.

    The boot of a node that was added later, or started again since, begins at a zero of its own.
    """
    boots = tuple(boots)
    first = min((asked for boot in boots if (asked := _asked(boot)) is not None), default=0.0)
    return tuple(_timeline(boot, first) for boot in boots)


def _asked(boot: BootTimes) -> float | None:
    """Return when the cloud was asked for a node, or the next that is known of it."""
    created = _moment(boot.created)
    return _moment(boot.launched) if created is None else created


def _zero(boot: BootTimes, kernel: float, first: float) -> tuple[float | None, str]:
    """Return the zero of a node's boot, None where that is its kernel's start; and what is to be said of it."""
    asked, launched = _asked(boot), _moment(boot.launched)
    shown = "this is its last boot, from the kernel on."
    if asked is None or launched is None:
        return None, f"The cloud does not say when it was made: {shown}"
    if kernel < asked - _SKEW:
        return None, f"Its clock and the cloud's differ: {shown}"
    if kernel > launched + _FIRST_BOOT or launched > asked + _MADE:
        return None, f"It was started again on {_minute(kernel)}: {shown}"
    if asked > first + _ADDED:
        return asked, f"It was added on {_minute(asked)}: zero is when the cloud was asked for it."
    return first, ""


def _minute(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _timeline(boot: BootTimes, first: float) -> NodeTimeline:
    if boot.told is None:
        return NodeTimeline(boot.node.name, (), f"Its boot is not known: {plain(boot.problem)}.")
    told, kernel = boot.told, float(boot.told["kernel"])
    zero, note = _zero(boot, kernel, first)
    spans = [] if zero is None else _cloud_spans(boot, zero, kernel)
    shift = 0.0 if zero is None else max(kernel - zero, 0.0)
    phases = told["phases"]
    userspace = phases.get("userspace", 0.0)
    begin = phases.get("initrd", 0.0)
    spans.append(Span("kernel", shift, shift + (begin or userspace), "system"))
    if begin:
        spans.append(Span("initramfs", shift + begin, shift + userspace, "system"))
    units = [_unit_span(each, shift) for each in told["units"] if each.get("begin") is not None]
    named = [_event_span(name, told, shift) for name in EVENTS if name in told["events"]]
    named += [span for span in units if span.label in _PARTS]
    latest = shift + phases["finish"] + _LATE if phases.get("finish") else inf
    spans += [span for span in named if span.end <= latest]
    # What starts when the node works already, as /home does with its first use, is no part of its boot.
    end = max([span.end for span in spans] + [shift + phases.get("finish", 0.0)])
    length = end - min(span.begin for span in spans)
    others = [span for span in units if span.label not in _PARTS and span.end <= end]
    others = [span for span in others if span.seconds >= _NOTABLE * length]
    spans += sorted(others, key=lambda span: -span.seconds)[:_OTHERS]
    return NodeTimeline(
        boot.node.name, tuple(sorted(spans, key=lambda span: (span.begin, span.end))), note, zero is not None
    )


def _cloud_spans(boot: BootTimes, zero: float, kernel: float) -> list[Span]:
    created, launched = _moment(boot.created), _moment(boot.launched)
    if created is None or launched is None:
        return []
    made = Span("the cloud makes the server", created - zero, launched - zero, "cloud")
    # Emulated, the kernel may begin before Nova has noted that the server runs.
    if kernel <= launched:
        return [replace(made, end=max(min(made.end, kernel - zero), made.begin))]
    return [made, Span("firmware and boot loader", made.end, kernel - zero, "cloud")]


def _unit_span(data: Mapping[str, Any], shift: float) -> Span:
    name = plain(str(data["unit"])).removesuffix(".service")
    return Span(name, shift + float(data["begin"]), shift + float(data["end"]), _PARTS.get(name, "system"))


def _event_span(event: str, told: Mapping[str, Any], shift: float) -> Span:
    unit, at = EVENTS[event][0], float(told["events"][event])
    name = unit.removesuffix(".service")
    started = next((float(each["end"]) for each in told["units"] if each["unit"] == unit), at)
    return Span(f"{name}, until {event}", shift + min(started, at), shift + at, _PARTS.get(name, "system"))


def slowest(timelines: Sequence[NodeTimeline], most: int = 5) -> list[tuple[str, float, str]]:
    """Return what took longest: what, how many seconds, and on which node; of the same on several, the longest."""
    found: dict[str, tuple[str, float, str]] = {}
    for timeline in timelines:
        for span in timeline.spans:
            if span.seconds > found.get(span.label, ("", 0.0, ""))[1]:
                found[span.label] = (span.label, span.seconds, timeline.node)
    return sorted(found.values(), key=lambda each: -each[1])[:most]


def ticks(length: float) -> list[float]:
    """Return where an axis from 0 to `length` seconds has its marks, at most nine."""
    step = next((each for each in _STEPS if length / each <= 8), 86400)
    return [float(each) for each in range(0, int(length) + 1, step)]


def _moment(text: str) -> float | None:
    """Read a time of the cloud's, which is UTC with or without saying so."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
