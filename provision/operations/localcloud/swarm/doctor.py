"""Look at the local cloud on several hosts from one of them, for `provision cloud doctor`; changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from provision.adapters.consul.catalogue import Catalogue
from provision.adapters.docker.inspect import Inspector
from provision.base.errors import ProvisionError
from provision.model.localcloud.doctor.observed import ObservedLocalCloud, Unit
from provision.model.localcloud.doctor.swarm_rules import ObservedSwarm
from provision.model.localcloud.settings import PROJECT, apis
from provision.operations.localcloud.shared.inspection import gather, inspections
from provision.operations.localcloud.shared.installation import read_passwords
from provision.operations.localcloud.swarm.files import require_swarm, swarm_adapter
from provision.operations.localcloud.swarm.status import read_services

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from provision.adapters.docker.swarm import Swarm
    from provision.model.localcloud.status import ServiceStatus
    from provision.model.localcloud.swarm import Host, Task

_STATISTICS_PORT: Final = 8404
"""Port of HAProxy's statistics page, in its container."""


def observe() -> ObservedSwarm:
    """Look at everything; `unseen` says what cannot be looked at. Raises ProvisionError if Docker does not answer."""
    settings = require_swarm()
    swarm, inspector = swarm_adapter(settings), Inspector()
    now = datetime.now(UTC)
    hosts: tuple[Host, ...] = ()
    tasks: tuple[Task, ...] = ()
    wanted, problem = dict[str, int](), ""
    try:
        hosts, tasks, wanted = swarm.hosts(), swarm.tasks(), swarm.desired_replicas()
    except ProvisionError as error:
        # Most hosts are away: this host can still be looked at.
        problem = (error.detail or error.message).strip().partition("\n")[0]
    names = {task.container: task.name for task in tasks if task.container}
    own = tuple(replace(unit, name=names.get(unit.container, unit.name)) for unit in inspector.replicas())
    parts = inspections(
        settings,
        inspector,
        own,
        consul=lambda: Catalogue(_url(swarm, "consul", 8500), read_passwords().get("consul_management", "")),
        proxy=lambda: _url(swarm, "haproxy", _STATISTICS_PORT),
    )
    fields = gather({**parts, "copies": lambda: {} if problem else {"services": read_services(settings, swarm, tasks)}})
    services: tuple[ServiceStatus, ...] = fields.pop("services", ())
    if not problem:
        # Hosts that are away are reported anyway, and Consul remembers hosts that have left for days.
        ready = {host.name for host in hosts if host.ready}
        fields["failed_nodes"] = tuple(name for name in fields.get("failed_nodes", ()) if name in ready)
    here = ObservedLocalCloud(
        now,
        wanted={(PROJECT, service): count for service, count in wanted.items()},
        units=own if problem else tuple(_units(own, tasks)),
        apis=tuple(api for api in apis(settings) if not api.idle),
        swarm=True,
        **fields,
    )
    return ObservedSwarm(here, hosts, services, tasks, problem)


def _url(swarm: Swarm, service: str, port: int) -> str:
    if address := swarm.address(service):
        return f"http://{address}:{port}"
    raise ProvisionError(f"{service} does not run on this host")


def _units(own: Iterable[Unit], tasks: Iterable[Task]) -> Iterator[Unit]:
    """Return the replicas that run on all hosts; for those on this host, with all that their containers tell."""
    here = {unit.container: unit for unit in own}
    for task in tasks:
        if task.wanted and task.state == "running":
            yield here.get(task.container) or Unit(task.service, task.name, PROJECT, task.state, task.image)
