"""The status of the `local` cloud on one machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from provision.adapters.docker.engine import Engine
from provision.adapters.openstack.admin import Admin
from provision.base.errors import ProvisionError
from provision.model.localcloud.health import instances
from provision.model.localcloud.replicas import drift
from provision.model.localcloud.settings import PROJECT, apis, base_service
from provision.model.localcloud.status import ServiceStatus, service_status, table, wanted_of
from provision.operations.localcloud.shared import login
from provision.operations.localcloud.shared.installation import (
    catalogue,
    control,
    hypervisors,
    load_settings,
    read_passwords,
    this_checkout,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.model.localcloud.host import ServiceState
    from provision.model.localcloud.settings import Settings


@dataclass(frozen=True, slots=True)
class SingleHostStatus:
    """The state of services, containers, APIs (through HAProxy), and Nova's and Neutron's own services."""

    services: tuple[ServiceStatus, ...]
    containers: tuple[ServiceState, ...]
    apis: dict[str, str]
    """Why an API does not answer; empty if it does."""
    lacking: dict[str, str]
    """State of each compute service and network agent that is not up."""

    @property
    def up(self) -> bool:
        """Whether everything is as after `cloud up`."""
        running = all(each.state == "running" for each in self.containers) and all(each.up for each in self.services)
        return bool(self.containers) and running and not self.lacking and not any(self.apis.values())

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "up": self.up,
            "services": [_document(each) for each in self.services],
            "containers": [asdict(each) for each in self.containers],
            "apis": {name: problem or "up" for name, problem in self.apis.items()},
            "lacking": self.lacking,
        }

    def text(self) -> str:
        """Write it for a person."""
        if not self.containers:
            return "The local cloud is not running: `provision cloud up` starts it."
        lines = table(self.services)
        not_running = [each for each in self.containers if each.state != "running"]
        lines += ["", *(f"{each.container} is {each.state}" for each in not_running)] if not_running else []
        width = max(map(len, self.apis), default=0)
        lines += ["", *(f"{name:{width}}  {problem or 'answers'}" for name, problem in self.apis.items())]
        lines += ["", *(f"{item}: {state}" for item, state in self.lacking.items())]
        if any(each.drift for each in self.services):
            lines.append("Something is out of date: `provision cloud upgrade` replaces it.")
        if self.up:
            lines.append("Everything is up.")
        return "\n".join(lines)


def _document(service: ServiceStatus) -> dict[str, Any]:
    return {
        "service": service.service,
        "wanted": service.wanted,
        "running": service.running,
        "healthy": service.healthy,
        "images": service.images,
        "digests": service.digests,
        "drift": service.drift,
        "host": "".join(service.hosts),
        "up": service.up,
    }


def status() -> SingleHostStatus:
    """Return the status of the local cloud on this machine."""
    settings = load_settings()
    engine = Engine()
    states = tuple(sorted(engine.states(), key=lambda each: (each.project, each.service, each.number)))
    if not states:
        return SingleHostStatus((), (), {}, {})
    admin = Admin(login.admin_login(settings, read_passwords().get("admin", "")))
    answers = {
        api.name: admin.api_problem(settings.public_url(api.port, api.health)) for api in apis(settings) if api.awaited
    }
    lacking = {} if any(answers.values()) else admin.missing_services(settings.hypervisors, settings.replicas)
    return SingleHostStatus(_services(engine, settings, states), states, answers, lacking)


def _services(engine: Engine, settings: Settings, states: Sequence[ServiceState]) -> tuple[ServiceStatus, ...]:
    """Compare what runs with what this checkout would run."""
    host = engine.host()
    consul = catalogue(settings)
    try:
        known = instances(consul.services(), consul.checks())
    except ProvisionError:
        known = ()
    values = this_checkout()
    found = []
    for project in (control(), *hypervisors(settings)):
        now = project.with_values(values)
        made_from = now.made_from()
        in_project = [state for state in states if state.project == project.project]
        # The hash of a container that shares another's network can't be known beforehand.
        numbers = {state.number for state in in_project} if project.project == PROJECT else set()
        hashes = {number: now.with_values({"REPLICA": str(number)}).definitions() for number in sorted(numbers)}
        for service in sorted({base_service(each) for each in (*made_from, *(state.service for state in in_project))}):
            of_service = [state for state in in_project if base_service(state.service) == service]
            name, wanted = wanted_of(project.project, service, settings.replicas_of(service), control=PROJECT)
            drifts = [
                drift(each, made_from.get(each.service), hashes.get(each.number, {}).get(each.service, ""))
                for each in of_service
            ]
            found.append(service_status(name, wanted, of_service, known=known, drifts=drifts, host=host))
    return tuple(found)
