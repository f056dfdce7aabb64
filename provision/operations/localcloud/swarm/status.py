"""The status of the control plane on several hosts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from provision.adapters.consul.catalogue import Catalogue
from provision.adapters.consul.http import ConsulUnavailableError
from provision.adapters.docker.engine import Engine
from provision.adapters.openstack.admin import Admin
from provision.base.errors import ProvisionError
from provision.model.localcloud.image_families import image_tags
from provision.model.localcloud.settings import apis
from provision.model.localcloud.status import (
    HypervisorStatus,
    ServiceStatus,
    hypervisor_statuses,
    swarm_statuses,
    table,
)
from provision.model.localcloud.swarm import names
from provision.operations.localcloud.shared import login
from provision.operations.localcloud.shared.images import contexts
from provision.operations.localcloud.shared.installation import read_passwords
from provision.operations.localcloud.swarm import hypervisor
from provision.operations.localcloud.swarm.files import require_swarm, swarm_adapter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provision.adapters.docker.swarm import Swarm
    from provision.model.localcloud.settings import Settings
    from provision.model.localcloud.swarm import Host, Task


@dataclass(frozen=True, slots=True)
class SwarmStatus:
    """The state of hosts, services, APIs (through this host's HAProxy) and hypervisors."""

    hosts: tuple[Host, ...]
    services: tuple[ServiceStatus, ...]
    apis: dict[str, str]
    """Why an API does not answer; empty if it does."""
    hypervisors: tuple[HypervisorStatus, ...] = ()

    @property
    def up(self) -> bool:
        """Whether everything is as after `cloud up`."""
        working = all(each.up for each in self.services) and all(each.up for each in self.hypervisors)
        ready = all(host.ready for host in self.hosts)
        return bool(self.apis) and ready and working and not any(self.apis.values())

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "up": self.up,
            "hosts": [asdict(each) for each in self.hosts],
            "services": [_document(each) for each in self.services],
            "apis": {name: problem or "up" for name, problem in self.apis.items()},
            "hypervisors": [asdict(each) | {"up": each.up} for each in self.hypervisors],
        }

    def text(self) -> str:
        """Write it for a person."""
        width = max((len(host.name) for host in self.hosts), default=0)
        lines = [
            f"{host.name:{width}}  {host.address}  {'ready' if host.ready else 'away'}"
            + (f"  member {host.member}" if host.member else "")
            for host in self.hosts
        ]
        lines += ["", *table(self.services, several_hosts=True)]
        lines += ["", *(f"{each.service}: {each.problem}" for each in self.services if each.problem)]
        lines += [f"{name}  {problem or 'answers'}" for name, problem in self.apis.items()]
        if self.hypervisors:
            lines += ["", *(f"hypervisor {each.host}  {', '.join(each.lacks) or 'up'}" for each in self.hypervisors)]
        if not self.apis:
            lines.append("The control plane is not running: `provision cloud up` starts it.")
        if any(each.drift for each in self.services):
            lines.append("Something is out of date: `provision cloud up` replaces it.")
        return "\n".join([*lines, *(["Everything is up."] if self.up else [])])


def _document(service: ServiceStatus) -> dict[str, Any]:
    return {
        "service": service.service,
        "wanted": service.wanted,
        "running": service.running,
        "healthy": service.healthy,
        "digests": service.digests,
        "drift": service.drift,
        "hosts": service.hosts,
        "problem": service.problem,
        "up": service.up,
    }


def status() -> SwarmStatus:
    """Return the status of the control plane as seen from this host."""
    settings = require_swarm()
    swarm = swarm_adapter(settings)
    services = read_services(settings, swarm, swarm.tasks())
    admin = Admin(login.admin_login(settings, read_passwords().get("admin", "")), timeout=20)
    answers = {
        api.name: admin.api_problem(settings.public_url(api.port, api.health)) for api in apis(settings) if api.awaited
    }
    if not any(each.service == "keystone" for each in services):
        return SwarmStatus(swarm.hosts(), services, {})
    return SwarmStatus(swarm.hosts(), services, answers, () if any(answers.values()) else _hypervisors(admin))


def read_services(settings: Settings, swarm: Swarm, tasks: Iterable[Task]) -> tuple[ServiceStatus, ...]:
    """Compare the replicas that exist with those that are wanted, and with this checkout's images."""
    images = set(names(settings, image_tags(contexts())).values())
    return swarm_statuses(swarm.desired_replicas(), tasks, _registered(swarm.address("consul")), images)


def _hypervisors(admin: Admin) -> tuple[HypervisorStatus, ...]:
    expected = [Engine().host()] if hypervisor.runs_vms() else []
    try:
        return hypervisor_statuses((*admin.compute_services(), *admin.network_agents()), expected)
    except ProvisionError as error:
        return (HypervisorStatus("?", (str(error),)),)


def _registered(address: str) -> dict[str, bool]:
    """Ask Consul for all registered containers, and whether every service of each is healthy."""
    if not address:
        return {}
    try:
        return Catalogue(f"http://{address}:8500").container_health()
    except ConsulUnavailableError:
        return {}
