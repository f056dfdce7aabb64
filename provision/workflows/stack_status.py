"""What the `local` cloud says of itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from provision.doors.docker import Engine
from provision.doors.openstack_admin import Admin
from provision.pure.stack import apis
from provision.workflows import stack_bootstrap
from provision.workflows.stack_config import chosen, read_passwords

if TYPE_CHECKING:
    from provision.pure.stack_host import ServiceState


@dataclass(frozen=True, slots=True)
class StackStatus:
    """Containers, APIs through HAProxy (an empty text: answers), and what compute services and agents lack."""

    containers: tuple[ServiceState, ...]
    apis: dict[str, str]
    lacking: dict[str, str]

    @property
    def up(self) -> bool:
        """Whether everything is as `cloud up` leaves it."""
        running = all(each.state == "running" for each in self.containers)
        return bool(self.containers) and running and not self.lacking and not any(self.apis.values())

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "up": self.up,
            "containers": [asdict(each) for each in self.containers],
            "apis": {name: problem or "up" for name, problem in self.apis.items()},
            "lacking": self.lacking,
        }

    def text(self) -> str:
        """Write it for a person."""
        if not self.containers:
            return "The local cloud is not running: `provision cloud up` starts it."
        width = max(len(each.service) for each in self.containers)
        lines = [f"{each.service:{width}}  {each.state:10}  {each.image}" for each in self.containers]
        lines += ["", *(f"{name:{width}}  {problem or 'answers'}" for name, problem in self.apis.items())]
        lines += ["", *(f"{item}: {state}" for item, state in self.lacking.items())]
        if self.up:
            lines.append("Everything is up.")
        return "\n".join(lines)


def stack_status() -> StackStatus:
    """Look at the local cloud; changes nothing."""
    settings = chosen()
    states = tuple(sorted(Engine().states(), key=lambda each: each.service))
    if not states:
        return StackStatus((), {}, {})
    admin = Admin(stack_bootstrap.admin_login(settings, read_passwords().get("admin", "")))
    answers = {api.name: admin.answers(settings.public_url(api.port, api.health)) for api in apis(settings) if api.type}
    lacking = {} if any(answers.values()) else admin.lacking(settings.hypervisors)
    return StackStatus(states, answers, lacking)
