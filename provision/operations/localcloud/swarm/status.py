"""What the control plane on several hosts says of itself."""

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
from provision.model.localcloud.swarm import names
from provision.model.localcloud.swarm_status import Hypervisor, SwarmLine, hypervisors, swarm_lines, table
from provision.operations.localcloud.shared import bootstrap
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
    """Hosts, services, the APIs through this host's HAProxy (an empty text: answers), and what carries VMs."""

    hosts: tuple[Host, ...]
    services: tuple[SwarmLine, ...]
    apis: dict[str, str]
    hypervisors: tuple[Hypervisor, ...] = ()

    @property
    def up(self) -> bool:
        """Whether everything is as `cloud up` leaves it."""
        working = all(each.up for each in self.services) and all(each.up for each in self.hypervisors)
        whole = all(host.ready for host in self.hosts) and working
        return bool(self.apis) and whole and not any(self.apis.values())

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "up": self.up,
            "hosts": [asdict(each) for each in self.hosts],
            "services": [asdict(each) | {"up": each.up} for each in self.services],
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
        lines += ["", *table(self.services)]
        lines += ["", *(f"{each.service}: {each.problem}" for each in self.services if each.problem)]
        lines += [f"{name}  {problem or 'answers'}" for name, problem in self.apis.items()]
        if self.hypervisors:
            lines += ["", *(f"hypervisor {each.host}  {', '.join(each.lacks) or 'up'}" for each in self.hypervisors)]
        if not self.apis:
            lines.append("The control plane is not running: `provision cloud up` starts it.")
        if any(each.drift for each in self.services):
            lines.append("Something is out of date: `provision cloud up` replaces it.")
        return "\n".join([*lines, *(["Everything is up."] if self.up else [])])


def status() -> SwarmStatus:
    """Look at the control plane from this host; changes nothing."""
    settings = require_swarm()
    swarm = swarm_adapter(settings)
    lines = read_lines(settings, swarm, swarm.tasks())
    login = bootstrap.admin_login(settings, read_passwords().get("admin", ""))
    admin = Admin(login, timeout=20)
    answers = {
        api.name: admin.api_problem(settings.public_url(api.port, api.health)) for api in apis(settings) if api.awaited
    }
    if not any(each.service == "keystone" for each in lines):
        return SwarmStatus(swarm.hosts(), lines, {})
    return SwarmStatus(swarm.hosts(), lines, answers, () if any(answers.values()) else _hypervisors(admin))


def read_lines(settings: Settings, swarm: Swarm, tasks: Iterable[Task]) -> tuple[SwarmLine, ...]:
    """Compare the copies that there are with those that there shall be, and with what this checkout gives."""
    images = set(names(settings, image_tags(contexts())).values())
    return swarm_lines(swarm.desired_replicas(), tasks, _registered(swarm.address("consul")), images)


def _hypervisors(admin: Admin) -> tuple[Hypervisor, ...]:
    expected = [Engine().host()] if hypervisor.runs_vms() else []
    try:
        return hypervisors((*admin.compute_services(), *admin.network_agents()), expected)
    except ProvisionError as error:
        return (Hypervisor("?", (str(error),)),)


def _registered(address: str) -> dict[str, bool]:
    """Ask Consul for all containers that it is told of, and whether all that they are there for is healthy."""
    if not address:
        return {}
    try:
        return Catalogue(f"http://{address}:8500").container_health()
    except ConsulUnavailableError:
        return {}
