"""Steps of a plan, and the states that they lead from and to, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

from provision.base.errors import UsageError
from provision.model.finding import named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from provision.base.model import Role
    from provision.model.cluster.resources import Rule, ServerGroup

Verb = Literal[
    "wait",
    "delete",
    "remove",
    "create",
    "tag",
    "attach",
    "update",
    "start",
    "configure",
    "install",
    "carry",
    "lose",
    "restore",
]

_OF_SERVERS: Final = {"server", "packages", "data", "user"}
"""Kinds of steps that are about servers, and about what is on them."""
_MESSAGE: Final = 16 << 20
"""Bytes of the largest message that RabbitMQ 4 takes by default: Nova sends all servers of a request in one."""
_OF_A_SERVER: Final = 12_000
"""Bytes of a server in that message, besides its user-data: 9,200 of one of our own flavors and images."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change."""

    verb: Verb
    kind: str
    """What is changed: `server`, `security group`; `data` for homes, /shared and the Hub's state."""
    name: str
    why: str
    """The reason, as people read it."""
    ids: tuple[str, ...] = ()
    """Ids of the resources; of servers to be created, their names."""
    destructive: bool = False
    """Whether somebody's work may be lost: then the step needs consent of its own (`--replace`, `--remove`)."""


def create_together(workers: Sequence[str]) -> Step:
    """Return the step that creates several workers in one request: the first ones, since Nova numbers them itself."""
    label = f"{workers[0]} to {len(workers)}"
    return Step("create", "server", label, f"{len(workers)} workers in one request", tuple(workers))


def _divided(step: Step, fit: int) -> Iterator[Step]:
    if step.verb != "create" or len(step.ids) <= fit:
        yield step
        return
    yield create_together(step.ids[:fit])
    for name in step.ids[fit:]:
        yield Step("create", "server", name, "no more fit into one request", (name,))


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps in their order; none if the cloud is as the spec asks."""

    cluster: str
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    """What else the user should know."""

    def __bool__(self) -> bool:
        return bool(self.steps)

    def of(self, verb: Verb) -> tuple[Step, ...]:
        """Return the steps of one kind."""
        return tuple(step for step in self.steps if step.verb == verb)

    def before_image(self) -> tuple[Plan, Plan]:
        """Split the plan of a new cluster: what can be made before there is an image, and the rest."""
        rest = tuple(step for step in self.steps if step.kind in _OF_SERVERS)
        early = tuple(step for step in self.steps if step.kind not in _OF_SERVERS)
        return replace(self, steps=early), replace(self, steps=rest)

    def within_message(self, user_data: int) -> Plan:
        """Return the plan with no more workers in one request than Nova can hand on; the rest is created one by one.

        `user_data`: bytes of what each of them gets. A second request for many would give them the names of the first.
        """
        fit = _MESSAGE // (_OF_A_SERVER + user_data)
        return replace(self, steps=tuple(part for step in self.steps for part in _divided(step, fit)))

    @property
    def destructive(self) -> tuple[Step, ...]:
        """The steps that need `--replace`."""
        return tuple(step for step in self.steps if step.destructive)

    def with_note(self, note: str) -> Plan:
        """Return the plan with one more note, unless that is empty."""
        return replace(self, notes=(*self.notes, note)) if note else self

    def as_data(self) -> dict[str, object]:
        """Return the plan as `plan --json` prints it."""
        return {
            "cluster": self.cluster,
            "nothing_to_do": not self.steps,
            "steps": [asdict(step) for step in self.steps],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class WaitingData:
    """Data of nodes with the Hub that were replaced, on this machine, and what is wished for the present one's."""

    servers: tuple[str, ...] = ()
    """Ids of the servers whose data is complete here and was not restored, the oldest first."""
    without: bool = False
    """Whether such a node may be replaced without its data (`--without-data`)."""


@dataclass(frozen=True, slots=True)
class DesiredState:
    """What the cloud has to hold: the spec with the cloud's ids and sizes."""

    name: str
    cidr: str
    external: str
    """The external network's id; empty while the cloud cannot be asked."""
    rules: frozenset[Rule]
    image: str
    """The image's id; empty while the golden image is not on the cloud."""
    master_flavor: str
    worker_flavor: str
    count: int
    """The number of workers."""
    spec: str
    """Hash of the settings that nodes are configured with (spec_hash)."""
    network: str = ""
    """Id of an existing network; empty: one is created."""
    subnet: str = ""
    """Id of its subnet."""
    own_ports: str = ""
    """Why workers' ports are made before them, which Nova would not make as they have to be; empty: it makes them."""
    has_port_security: bool = True
    """Whether security groups have an effect on the network."""
    security_groups: tuple[str, ...] = ()
    """Ids of existing security groups that the nodes are in too."""
    router: str = ""
    """Id of an existing router; empty: one is created."""
    nameservers: tuple[str, ...] = ()
    """Name servers of the cluster's own subnet; none: what the cloud gives, or gave."""
    has_floating: bool = True
    """Whether the node with the Hub has a floating IP."""
    floating: str = ""
    """Id of an existing floating IP; empty: one is created."""
    floating_address: str = ""
    """Its address."""
    hub_flavor: str = ""
    """The flavor of the Hub's own node; empty: the Hub is on the master."""
    master_zone: str = ""
    hub_zone: str = ""
    worker_zone: str = ""
    """Availability zones; empty: the cloud's choice."""
    policy: str = ""
    """Policy of the workers' server group; empty: none is created."""
    master_group: ServerGroup | None = None
    hub_group: ServerGroup | None = None
    worker_group: ServerGroup | None = None
    """Existing server groups."""
    packages: str = ""
    """Digest of the request for packages (model/packages.py); empty: the spec asks for none."""
    same_image: bool = False
    """Whether nodes of another image are replaced; a newer golden image alone is no reason, unless it is asked for."""
    users: tuple[str, ...] = ()
    """The notebook users' names."""
    accounts: str = ""
    """Hash of the users and what they may do (resources.users_hash)."""
    origin: str = ""
    """The name of the spec's file; empty for the default spec."""
    certificate: str = ""
    """The day (ISO 8601) until which the Hub's certificate has to be valid; empty if it is the user's own."""
    source: str = field(default="cluster.yaml", compare=False)
    """The spec's file, as errors name it."""

    @property
    def hub_role(self) -> Role:
        """The role of the node with the Hub."""
        return "hub" if self.hub_flavor else "master"

    def flavor_of(self, role: Role) -> str:
        """Return the flavor of a role's nodes."""
        return {"master": self.master_flavor, "hub": self.hub_flavor, "worker": self.worker_flavor}[role]

    def zone_of(self, role: Role) -> str:
        """Return the availability zone of a role's nodes; empty: the cloud's choice."""
        return {"master": self.master_zone, "hub": self.hub_zone, "worker": self.worker_zone}[role]

    def group_of(self, role: Role) -> ServerGroup | None:
        """Return the existing server group of a role's nodes."""
        return {"master": self.master_group, "hub": self.hub_group, "worker": self.worker_group}[role]

    @property
    def tested(self) -> str:
        """What the smoke test has to have passed with: the settings, and the packages if there are any."""
        return f"{self.spec}+{self.packages}" if self.packages else self.spec


def refuse_losses(plan: Plan, *, replace: bool, remove: bool = False, without_data: bool = False) -> None:
    """Raise UsageError for a plan that would lose somebody's work, unless that was asked for."""
    removed = [step for step in plan.of("remove") if step.destructive]
    if removed and not remove:
        raise UsageError(
            f"this would remove workers or users: {_with_reasons(removed)}",
            "Nothing was changed. Run it with --remove to do so, or name the right spec with -f.",
        )
    replaced = [step for step in plan.destructive if step.kind == "server" and step.verb != "remove"]
    if replaced and not replace:
        losses = "people's files are carried over, and what else" if plan.of("carry") else "what"
        raise UsageError(
            f"this would replace nodes, and {losses} is on them would be lost: {_with_reasons(replaced)}",
            "Nothing was changed. Run it with --replace to do so, or change the spec back.",
        )
    if not without_data:
        for step in plan.of("lose"):
            raise UsageError(
                f"the data on {step.name} would be lost: {step.why}",
                "Nothing was changed. Bring that node back (`openstack server start` or `reboot`) and run it again, "
                "or give --without-data to go on without homes, /shared and the Hub's state.",
            )


def _with_reasons(steps: Iterable[Step]) -> str:
    """Name what steps change, with the reason of each once."""
    alike: dict[tuple[str, str], list[str]] = {}
    for step in steps:
        alike.setdefault((step.kind, step.why), []).append(step.name)
    return "; ".join(f"{kind} {named(names)}: {why}" for (kind, why), names in alike.items())
