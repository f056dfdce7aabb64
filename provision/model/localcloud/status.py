"""The state of each service for `cloud status`, on one machine or several, and the table that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from provision.model.columns import columns
from provision.model.localcloud.health import healthy

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from provision.model.localcloud.doctor.observed import Worker
    from provision.model.localcloud.health import Instance
    from provision.model.localcloud.host import ServiceState
    from provision.model.localcloud.swarm import Task


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """A service: how many replicas it should have, how many run and are healthy, their images and their hosts."""

    service: str
    wanted: int
    running: int
    healthy: int | None
    """Replicas that are healthy in Consul; None if the service is not registered there."""
    digests: tuple[str, ...]
    """Digests of the images that run: one, unless replicas differ."""
    drift: str
    """What would differ in a container made now: image, configuration, definition; empty if nothing."""
    hosts: tuple[str, ...]
    """Host of each replica that runs on a Swarm; on one machine, this machine."""
    images: tuple[str, ...] = ()
    """Names of the images with their tags. Not used on a Swarm, where digests tell images apart."""
    problem: str = ""
    """Why a replica that should run does not, in Docker's words. Used on a Swarm only."""
    mixed: bool = False
    """Whether replicas run from different images although all of them should run from one."""

    @property
    def up(self) -> bool:
        """Whether as many replicas run and are healthy as are wanted."""
        return self.running == self.wanted and self.healthy in (None, self.wanted) and not self.mixed


def service_status(
    service: str,
    wanted: int,
    states: Sequence[ServiceState],
    *,
    known: Iterable[Instance],
    drifts: Iterable[str],
    host: str,
) -> ServiceStatus:
    """Combine what is known of one service's containers on one machine."""
    running = [state for state in states if state.state == "running"]
    registered = any(state.registers for state in states)
    return ServiceStatus(
        service=service,
        wanted=wanted,
        running=len(running),
        healthy=sum(healthy(state, known) for state in running) if registered else None,
        digests=tuple(sorted({state.digest for state in states})),
        drift=", ".join(sorted({drift for drift in drifts if drift})),
        hosts=(host,) if states else (),
        images=tuple(sorted({state.image for state in states})),
    )


def swarm_statuses(
    wanted: Mapping[str, int],
    tasks: Iterable[Task],
    registered: Mapping[str, bool],
    images: Collection[str],
) -> tuple[ServiceStatus, ...]:
    """Combine what is known of every service of a Swarm.

    `registered` holds the containers in Consul (the first 12 digits of their ids) and whether they are healthy;
    `images` are the names, with tags, of this checkout's images.
    """
    every = list(tasks)
    found = []
    for service, count in sorted(wanted.items()):
        current = [task for task in every if task.service == service and task.wanted]
        running = [task for task in current if task.state == "running"]
        known = [registered[task.container[:12]] for task in running if task.container[:12] in registered]
        names = {task.image.partition("@")[0] for task in running}
        digests = tuple(sorted({task.image.partition("@")[2] for task in running} - {""}))
        found.append(
            ServiceStatus(
                service=service,
                wanted=count,
                running=len(running),
                healthy=sum(known) if known else None,
                digests=digests,
                drift="image" if names - set(images) else "",
                hosts=tuple(sorted(task.host for task in running)),
                problem=next((task.problem for task in current if task.problem), ""),
                mixed=len(digests) > 1,
            )
        )
    return tuple(found)


def table(services: Iterable[ServiceStatus], *, several_hosts: bool = False) -> list[str]:
    """Write services for a person, in columns, one line each."""
    rows = [("service", "replicas", "healthy", "image", "hosts" if several_hosts else "host", "out of date")]
    rows += [
        (
            each.service,
            f"{each.running}/{each.wanted}",
            "-" if each.healthy is None else str(each.healthy),
            " ".join(_short_digests(each) if several_hosts else _short_images(each)) or "-",
            " ".join(each.hosts) or "-",
            each.drift or "-",
        )
        for each in services
    ]
    return columns(rows)


def _short_digests(service: ServiceStatus) -> list[str]:
    return [digest.removeprefix("sha256:")[:12] for digest in service.digests]


def _short_images(service: ServiceStatus) -> list[str]:
    return [image.removeprefix("provision/") for image in service.images]


def wanted_of(project: str, service: str, replicas: int, *, control: str) -> tuple[str, int]:
    """Return a service's name for a person, after its hypervisor's if it has one, and its number of replicas."""
    if project == control:
        return service, replicas
    return f"{project.removeprefix(control).lstrip('-')} {service}", 1


_PARTS: Final = {"nova-compute": "nova-compute", "OVN Controller": "switch", "OVN Metadata": "metadata agent"}
"""Prefixes of the kinds that a hypervisor's services report under, and what the output calls these services."""


@dataclass(frozen=True, slots=True)
class HypervisorStatus:
    """A host that runs VMs, and which of its parts do not work, in words."""

    host: str
    lacks: tuple[str, ...]

    @property
    def up(self) -> bool:
        """Whether Nova and Neutron report all of its parts as up."""
        return not self.lacks


def hypervisor_statuses(workers: Iterable[Worker], expected: Iterable[str]) -> tuple[HypervisorStatus, ...]:
    """Read Nova's and Neutron's lists; `expected` are hosts that have to be in them."""
    reported: dict[tuple[str, str], bool] = {}
    for worker in workers:
        part = next((part for kind, part in _PARTS.items() if worker.kind.startswith(kind)), "")
        if part:
            reported[worker.host, part] = worker.up
    found = []
    for host in sorted({host for host, _ in reported} | set(expected)):
        parts = {part: reported.get((host, part)) for part in _PARTS.values()}
        found.append(HypervisorStatus(host, tuple(_lack(part, up) for part, up in parts.items() if not up)))
    return tuple(found)


def _lack(part: str, up: bool | None) -> str:
    return f"its {part} {'is not reported' if up is None else 'is reported down'}"
