"""What the `local` cloud says of itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from provision.adapters.docker.engine import Engine
from provision.adapters.openstack.admin import Admin
from provision.base.errors import ProvisionError
from provision.model.localcloud.health import instances
from provision.model.localcloud.replicas import drift
from provision.model.localcloud.settings import PROJECT, apis, base_service
from provision.model.localcloud.status import ServiceLine, service_line, table, wanted_of
from provision.operations.localcloud.shared import bootstrap
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
    """Services and containers, APIs through HAProxy (an empty text: answers), what Nova's services and agents lack."""

    services: tuple[ServiceLine, ...]
    containers: tuple[ServiceState, ...]
    apis: dict[str, str]
    lacking: dict[str, str]

    @property
    def up(self) -> bool:
        """Whether everything is as `cloud up` leaves it."""
        running = all(each.state == "running" for each in self.containers) and all(each.up for each in self.services)
        return bool(self.containers) and running and not self.lacking and not any(self.apis.values())

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "up": self.up,
            "services": [asdict(each) | {"up": each.up} for each in self.services],
            "containers": [asdict(each) for each in self.containers],
            "apis": {name: problem or "up" for name, problem in self.apis.items()},
            "lacking": self.lacking,
        }

    def text(self) -> str:
        """Write it for a person."""
        if not self.containers:
            return "The local cloud is not running: `provision cloud up` starts it."
        lines = table(self.services)
        bad = [each for each in self.containers if each.state != "running"]
        lines += ["", *(f"{each.container} is {each.state}" for each in bad)] if bad else []
        width = max(map(len, self.apis), default=0)
        lines += ["", *(f"{name:{width}}  {problem or 'answers'}" for name, problem in self.apis.items())]
        lines += ["", *(f"{item}: {state}" for item, state in self.lacking.items())]
        if any(each.drift for each in self.services):
            lines.append("Something is out of date: `provision cloud upgrade` replaces it.")
        if self.up:
            lines.append("Everything is up.")
        return "\n".join(lines)


def status() -> SingleHostStatus:
    """Look at the local cloud; changes nothing."""
    settings = load_settings()
    engine = Engine()
    states = tuple(sorted(engine.states(), key=lambda each: (each.project, each.service, each.number)))
    if not states:
        return SingleHostStatus((), (), {}, {})
    admin = Admin(bootstrap.admin_login(settings, read_passwords().get("admin", "")))
    answers = {
        api.name: admin.api_problem(settings.public_url(api.port, api.health)) for api in apis(settings) if api.awaited
    }
    lacking = {} if any(answers.values()) else admin.missing_services(settings.hypervisors, settings.replicas)
    return SingleHostStatus(_services(engine, settings, states), states, answers, lacking)


def _services(engine: Engine, settings: Settings, states: Sequence[ServiceState]) -> tuple[ServiceLine, ...]:
    """Compare what runs with what this checkout would run."""
    host = engine.host()
    consul = catalogue(settings)
    try:
        known = instances(consul.services(), consul.checks())
    except ProvisionError:
        known = ()
    values = this_checkout()
    lines = []
    for project in (control(), *hypervisors(settings)):
        now = project.with_values(values)
        made_from = now.made_from()
        mine = [state for state in states if state.project == project.project]
        # A container that shares another's network carries a hash that nobody can work out beforehand.
        copied = {state.number for state in mine} if project.project == PROJECT else set()
        hashes = {number: now.with_values({"COPY": str(number)}).definitions() for number in sorted(copied)}
        for service in sorted({base_service(each) for each in (*made_from, *(state.service for state in mine))}):
            of_service = [state for state in mine if base_service(state.service) == service]
            name, wanted = wanted_of(project.project, service, settings.replicas_of(service), control=PROJECT)
            drifts = [
                drift(each, made_from.get(each.service), hashes.get(each.number, {}).get(each.service, ""))
                for each in of_service
            ]
            lines.append(service_line(name, wanted, of_service, known=known, drifts=drifts, host=host))
    return tuple(lines)
