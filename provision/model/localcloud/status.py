"""`cloud status` as data: one line per service, from what Docker, Consul and Compose say; touches nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.model.localcloud.health import healthy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from provision.model.localcloud.health import Instance
    from provision.model.localcloud.host import ServiceState


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """A service: how many copies of it shall be, are and work, what they were made from, and where."""

    service: str
    wanted: int
    running: int
    healthy: int | None
    """In Consul; None: it is not told of this service."""
    images: tuple[str, ...]
    """Names with tags: one, unless copies differ."""
    digests: tuple[str, ...]
    drift: str
    """What a container made now would have another of: image, configuration, definition; or nothing."""
    host: str

    @property
    def up(self) -> bool:
        """Whether as many copies work as shall."""
        return self.running == self.wanted and self.healthy in (None, self.wanted)


def service_line(
    service: str,
    wanted: int,
    states: Sequence[ServiceState],
    *,
    known: Iterable[Instance],
    drifts: Iterable[str],
    host: str,
) -> ServiceLine:
    """Put together what is known of one service's containers."""
    running = [state for state in states if state.state == "running"]
    told = any(state.registers for state in states)
    return ServiceLine(
        service=service,
        wanted=wanted,
        running=len(running),
        healthy=sum(healthy(state, known) for state in running) if told else None,
        images=tuple(sorted({state.image for state in states})),
        digests=tuple(sorted({state.digest for state in states})),
        drift=", ".join(sorted({drift for drift in drifts if drift})),
        host=host if states else "",
    )


def table(lines: Iterable[ServiceLine]) -> list[str]:
    """Write the lines for a person, in columns."""
    rows = [("service", "copies", "healthy", "image", "host", "out of date")]
    rows += [
        (
            each.service,
            f"{each.running}/{each.wanted}",
            "-" if each.healthy is None else str(each.healthy),
            " ".join(image.removeprefix("provision/") for image in each.images) or "-",
            each.host or "-",
            each.drift or "-",
        )
        for each in lines
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def wanted_of(project: str, service: str, copies: int, *, control: str) -> tuple[str, int]:
    """Name a service for a person, a hypervisor's after its hypervisor, and say how many copies of it shall be."""
    if project == control:
        return service, copies
    return f"{project.removeprefix(control).lstrip('-')} {service}", 1
