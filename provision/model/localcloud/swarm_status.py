"""`cloud status` of several hosts as data: one line per service, with the host of each copy; touches nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from provision.model.localcloud.doctor.observed import Worker
    from provision.model.localcloud.swarm import Task


_PARTS: Final = {"nova-compute": "nova-compute", "OVN Controller": "switch", "OVN Metadata": "metadata agent"}
"""How the kinds of what a hypervisor reports begin, and what a person calls it."""


@dataclass(frozen=True, slots=True)
class Hypervisor:
    """A host that carries VMs, and which of its parts do not work: in words, or nothing."""

    host: str
    lacks: tuple[str, ...]

    @property
    def up(self) -> bool:
        """Whether Nova and Neutron count on all of it."""
        return not self.lacks


def hypervisors(workers: Iterable[Worker], expected: Iterable[str]) -> tuple[Hypervisor, ...]:
    """Read Nova's and Neutron's lists; `expected` are hosts that shall be among them."""
    reported: dict[tuple[str, str], bool] = {}
    for worker in workers:
        part = next((part for kind, part in _PARTS.items() if worker.kind.startswith(kind)), "")
        if part:
            reported[worker.host, part] = worker.up
    found = []
    for host in sorted({host for host, _ in reported} | set(expected)):
        parts = {part: reported.get((host, part)) for part in _PARTS.values()}
        found.append(Hypervisor(host, tuple(_lack(part, up) for part, up in parts.items() if not up)))
    return tuple(found)


def _lack(part: str, up: bool | None) -> str:
    return f"its {part} {'is not reported' if up is None else 'is reported down'}"


@dataclass(frozen=True, slots=True)
class SwarmLine:
    """A service: how many copies of it shall be, are and work, what they were made from, and where each is."""

    service: str
    wanted: int
    running: int
    healthy: int | None
    """In Consul; None: it is not told of this service."""
    digests: tuple[str, ...]
    """Of the images that run: one, unless copies differ."""
    drift: str
    """What a copy made now would have another of, or nothing."""
    hosts: tuple[str, ...]
    """Of each copy that runs."""
    problem: str = ""
    """Why a copy that shall run does not, in Docker's words."""

    @property
    def up(self) -> bool:
        """Whether as many copies work as shall, all from one image."""
        return self.running == self.wanted and self.healthy in (None, self.wanted) and len(self.digests) <= 1


def swarm_lines(
    wanted: Mapping[str, int],
    tasks: Iterable[Task],
    registered: Mapping[str, bool],
    images: Collection[str],
) -> tuple[SwarmLine, ...]:
    """Put together what is known: `registered` are Consul's containers (the beginning of their ids) and their health.

    `images` are the names (with their tags) that this checkout gives.
    """
    every = list(tasks)
    lines = []
    for service, count in sorted(wanted.items()):
        mine = [task for task in every if task.service == service and task.wanted]
        running = [task for task in mine if task.state == "running"]
        known = [registered[task.container[:12]] for task in running if task.container[:12] in registered]
        names = {task.image.partition("@")[0] for task in running}
        lines.append(
            SwarmLine(
                service,
                count,
                len(running),
                sum(known) if known else None,
                tuple(sorted({task.image.partition("@")[2] for task in running} - {""})),
                "image" if names - set(images) else "",
                tuple(sorted(task.host for task in running)),
                next((task.problem for task in mine if task.problem), ""),
            )
        )
    return tuple(lines)


def table(lines: Iterable[SwarmLine]) -> list[str]:
    """Write the lines for a person, in columns."""
    rows = [("service", "copies", "healthy", "image", "hosts", "out of date")]
    rows += [
        (
            each.service,
            f"{each.running}/{each.wanted}",
            "-" if each.healthy is None else str(each.healthy),
            " ".join(digest.removeprefix("sha256:")[:12] for digest in each.digests) or "-",
            " ".join(each.hosts) or "-",
            each.drift or "-",
        )
        for each in lines
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
