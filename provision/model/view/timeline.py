"""How the boot of each node went, as spans of time with a common zero, and what took long, in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
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
    "the history server is ready": ("spark-history.service", "started at http"),
}
"""Events that matter: the unit that says so, and its words."""
_PARTS: Final[Mapping[str, Part]] = {
    "cloud-init-local": "cloud-init",
    "cloud-init-network": "cloud-init",
    "cloud-config": "cloud-init",
    "cloud-final": "cloud-init",
    "spark-master": "spark",
    "spark-worker": "spark",
    "spark-history": "spark",
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
    """A sentence about what is not shown."""

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

    The boot of a node that was started again since begins at a zero of its own.
    """
    boots = tuple(boots)
    created = [moment for boot in boots if _is_first(boot) and (moment := _moment(boot.created)) is not None]
    zero = min(created, default=None)
    return tuple(_timeline(boot, zero) for boot in boots)


def _is_first(boot: BootTimes) -> bool:
    launched = _moment(boot.launched)
    return bool(boot.told) and launched is not None and boot.told["kernel"] <= launched + _FIRST_BOOT  # type: ignore[index]


def _timeline(boot: BootTimes, zero: float | None) -> NodeTimeline:
    if boot.told is None:
        return NodeTimeline(boot.node.name, (), f"Its boot is not known: {plain(boot.problem)}.")
    told, kernel = boot.told, float(boot.told["kernel"])
    spans: list[Span] = []
    note = ""
    if _is_first(boot) and zero is not None:
        shift = kernel - zero
        spans += _cloud_spans(boot, zero, kernel)
    else:
        shift = 0.0
        since = datetime.fromtimestamp(kernel, UTC).strftime("%Y-%m-%d %H:%M UTC")
        note = f"It was started again on {since}: this is its last boot, from the kernel on."
    phases = told["phases"]
    userspace = phases.get("userspace", 0.0)
    begin = phases.get("initrd", 0.0)
    spans.append(Span("kernel", shift, shift + (begin or userspace), "system"))
    if begin:
        spans.append(Span("initramfs", shift + begin, shift + userspace, "system"))
    units = [_unit_span(each, shift) for each in told["units"] if each.get("begin") is not None]
    spans += [_event_span(name, told, shift) for name in EVENTS if name in told["events"]]
    spans += [span for span in units if span.label in _PARTS]
    # What starts when the node works already, as /home does with its first use, is no part of its boot.
    end = max([span.end for span in spans] + [shift + phases.get("finish", 0.0)])
    length = end - min(span.begin for span in spans)
    others = [span for span in units if span.label not in _PARTS and span.end <= end]
    others = [span for span in others if span.seconds >= _NOTABLE * length]
    spans += sorted(others, key=lambda span: -span.seconds)[:_OTHERS]
    return NodeTimeline(boot.node.name, tuple(sorted(spans, key=lambda span: (span.begin, span.end))), note)


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
