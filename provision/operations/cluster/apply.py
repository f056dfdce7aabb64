"""Carry out a plan's steps on the cloud, one request each. After an interruption, planning again finds what is left."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final, TypeVar, cast

from provision.adapters.host.certificates import last_day
from provision.adapters.openstack.cloud import AT_ONCE, TransientError
from provision.adapters.openstack.session import PAUSE
from provision.base.errors import ProvisionError
from provision.base.model import Addresses
from provision.base.threads import each, start
from provision.model.cluster import resources
from provision.model.cluster.render import node_context, user_data
from provision.model.cluster.statuses import SOFT_DELETED
from provision.operations.cluster.servers.deletion import Deletion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from provision.adapters.cluster_dir import ClusterDir
    from provision.adapters.openstack.cloud import Cloud
    from provision.base.model import Role, Secrets
    from provision.base.progress import Progress
    from provision.model.cluster.resources import Kind, ObservedCluster
    from provision.model.cluster.steps import DesiredState, Plan, Step
    from provision.operations.cluster.resolve import ResolvedSpec

_OF_ONE: Final[tuple[Role, ...]] = ("master", "hub")
"""Roles of which there is one node, with a port that is made before it."""
_MANY: Final = {"server", "port"}
"""Kinds of which a cluster has as many as workers: alike steps of them do not wait for each other."""
_AFTER_DELETIONS: Final = {("create", "server"), ("delete", "port"), ("delete", "server group")}
"""Steps that need deleted servers to be gone."""
_WAVES: Final = (
    {"create network", "create router", "create security group", "create key pair", "create server group"},
    {"create subnet", "update security group"},
    {"create port", "attach router"},
    {"create floating IP"},
)
"""Steps that do not wait for each other, but for those before."""
PORTS_AT_ONCE: Final = 50
"""Ports in one request: of hundreds a proxy before Neutron may have lost its patience while they are made."""
ATTEMPTS: Final = 4
"""How often the steps are applied: they are planned again after the cloud failed to answer one of them."""

_Apply = TypeVar("_Apply", bound="Apply")


def hub_metadata(desired: DesiredState, addresses: Addresses, secrets: Secrets) -> dict[str, str]:
    """Return the metadata that says what the node with the Hub was configured with, besides its META_SPEC."""
    return {
        resources.META_FLOATING: addresses.floating,
        resources.META_CERTIFICATE: last_day(secrets.hub_cert),
        **made_from(desired),
    }


def made_from(desired: DesiredState) -> dict[str, str]:
    """Return the metadata of the node with the Hub that says which spec it has: its file and its users."""
    return {
        resources.META_ORIGIN: resources.origin(desired.origin),
        resources.META_ACCOUNTS: desired.accounts,
        **resources.user_metadata(desired.users),
    }


@dataclass(frozen=True, slots=True)
class _Given:
    """What the new servers of a role get."""

    user_data: str
    metadata: Mapping[str, str]


class Apply:
    """Carries out plans for one cluster, and keeps the ids and addresses of what exists and of what it creates."""

    resolved: ResolvedSpec
    """The spec that nodes are created from."""
    desired: DesiredState
    """The state that the plans lead to."""
    observed: ObservedCluster
    """What the cloud held at the beginning."""

    def __init__(
        self,
        cloud: Cloud,
        cluster_dir: ClusterDir,
        progress: Progress,
        *,
        resolved: ResolvedSpec,
        desired: DesiredState,
        observed: ObservedCluster,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.cloud = cloud
        self.cluster_dir = cluster_dir
        self.progress = progress
        self.resolved = resolved
        self.desired = desired
        self.observed = observed
        self._sleep = sleep
        self._ids: dict[str, str] = {}
        self._rules: tuple[tuple[resources.Rule | None, str], ...] = ()
        self._servers = {server.id: server for server in observed.servers}
        self._worker_ports = {port.name: port.id for port in observed.worker_ports}
        self._holders = {
            port.id: port.device for port in observed.ports if port.device and port.device not in self._servers
        }
        """Of ports whose server no list shows: its id."""
        self._deleting: set[str] = set()
        self._addresses: dict[str, str] = {}
        """Of the ports that are made first, by the role of their node."""
        self._floating_address = ""
        self._secrets: Secrets | None = None
        self._given: dict[Role, _Given] = {}
        """What is rendered once for all servers of a role."""
        self._without_accounts: frozenset[Role] = frozenset()
        """Roles of new servers on which users' accounts are made later."""
        self._read(observed)

    def _read(self, observed: ObservedCluster) -> None:
        for kind, things in (
            ("network", observed.networks),
            ("subnet", observed.subnets),
            ("router", observed.routers),
            ("security group", observed.groups),
            ("floating IP", observed.floatings),
            ("server group", [group for group in observed.server_groups if group.policy == self.desired.policy]),
        ):
            if things:
                self._ids[kind] = things[0].id
        if observed.groups:
            self._rules = observed.groups[0].rules
        if observed.floatings:
            self._floating_address = observed.floatings[0].address
        for role in _OF_ONE:
            if port := observed.port_of(role):
                self._ids[f"{role}'s port"], self._addresses[role] = port.id, port.address
        # What was there before the cluster.
        desired = self.desired
        there = {"network": desired.network, "subnet": desired.subnet, "router": desired.router}
        self._ids |= {kind: id for kind, id in there.items() if id}  # noqa: A001 - the cloud's own word
        self._floating_address = self._floating_address or desired.floating_address

    @property
    def addresses(self) -> Addresses:
        """The addresses that exist first. Raises ProvisionError while a port or the floating IP does not exist."""
        role = self.desired.hub_role
        master, own = self._addresses.get("master", ""), self._addresses.get(role, "")
        reached = self._floating_address if self.desired.has_floating else own
        if not (master and own and reached):
            raise ProvisionError(f"the {role} has no address yet", "Run the same command again.")
        return Addresses(master, reached, own if role == "hub" else "")

    @property
    def _hub_port(self) -> str:
        """The id of the port of the node with the Hub."""
        return self._ids[f"{self.desired.hub_role}'s port"]

    @property
    def secrets(self) -> Secrets:
        """The cluster's secrets, made when they are first needed."""
        if self._secrets is None:
            self._secrets = self.cluster_dir.ensure_secrets(self.resolved.spec, self.addresses)
        return self._secrets

    def run(self, plan: Plan) -> None:
        """Carry out all steps except `configure`, `install` and those for people's data, which need running nodes."""
        actions: dict[tuple[str, str], Callable[[Step], None]] = {
            ("create", "network"): self._create_network,
            ("create", "subnet"): self._create_subnet,
            ("update", "subnet"): self._update_nameservers,
            ("create", "router"): self._create_router,
            ("update", "router"): self._update_gateway,
            ("attach", "router"): self._attach_router,
            ("create", "security group"): self._create_group,
            ("update", "security group"): self._update_rules,
            ("create", "port"): self._create_port,
            ("update", "port"): self._update_port,
            ("delete", "port"): self._delete_port,
            ("create", "floating IP"): self._create_floating,
            ("attach", "floating IP"): self._attach_floating,
            ("create", "key pair"): self._create_key,
            ("create", "server group"): self._create_server_group,
            ("delete", "server group"): self._delete_server_group,
            ("create", "server"): self._create_servers,
            ("delete", "server"): self._delete_server,
            ("remove", "server"): self._delete_server,
            ("wait", "server"): self._note_deletion,
            ("start", "server"): self._start_server,
        }
        later = {name for step in plan.of("configure") for name in step.ids}
        created = {name for step in plan.of("create") for name in step.ids}
        self._without_accounts = frozenset(resources.role_of(plan.cluster, name) for name in later & created)

        def carry_out(step: Step) -> None:
            self.progress.update(f"{step.kind} {step.name}", f"{step.verb} …")
            if step.verb == "tag":
                self.cloud.tag(cast("Kind", step.kind), step.ids[0], self.desired.name)
            else:
                actions[step.verb, step.kind](step)
            self.progress.update(f"{step.kind} {step.name}", "done")

        done_here = [
            step
            for step in plan.steps
            if step.verb not in ("configure", "install") and step.kind not in ("data", "user")
        ]
        for steps in _at_once(plan.cluster, done_here):
            change = steps[0].verb, steps[0].kind
            if change in _AFTER_DELETIONS:
                self._await_deletions()
            if change == ("create", "server"):
                # Before the threads would all do so.
                self._given_to(resources.role_of(plan.cluster, steps[0].name))
            each(carry_out, steps, at_once=AT_ONCE)
        self._await_deletions()

    def _record(self, kind: Kind, id: str, name: str = "", mark: str = "") -> None:  # noqa: A002 - the cloud's own word
        """Keep the id of a new resource, as `name` if that is not its kind, and tag it. `mark`: see Cloud.holds.

        Raises ProvisionError where the cluster has another one by now, and deletes the new one.
        """
        cluster = self.desired.name
        # Nova has no tags for server groups.
        tagging = start(lambda: self.cloud.tag(kind, id, cluster)) if kind != "server group" else None
        if self.cloud.holds(kind, cluster, mark) - {id}:
            # Two that make it at once see each other's, and both may stop: that leaves nothing behind.
            self.cloud.delete(kind, id)
            raise ProvisionError(
                f"another `provision up` of cluster {cluster} is at work on this cloud: it has made a {kind} too",
                "Run it again when that one has ended: it goes on from what is there.",
            )
        self._ids[name or kind] = id
        if tagging:
            tagging.result()

    def _create_network(self, _: Step) -> None:
        self._record("network", self.cloud.create_network(self.desired.name))

    def _create_subnet(self, _: Step) -> None:
        desired = self.desired
        made = self.cloud.create_subnet(desired.name, self._ids["network"], desired.cidr, desired.nameservers)
        self._record("subnet", made)

    def _update_nameservers(self, step: Step) -> None:
        self.cloud.set_nameservers(step.ids[0], self.desired.nameservers)

    def _create_router(self, _: Step) -> None:
        self._record("router", self.cloud.create_router(self.desired.name, self.desired.external))

    def _update_gateway(self, step: Step) -> None:
        self.cloud.set_gateway(step.ids[0], self.desired.external)

    def _attach_router(self, _: Step) -> None:
        router = self._ids["router"]
        interface = next((port.id for port in self.observed.ports if port.on_router and port.device == router), "")
        interface = interface or self.cloud.add_interface(router, self._ids["subnet"])
        if self.desired.router:
            self.cloud.mark_interface(interface, self.desired.name)

    def _create_group(self, _: Step) -> None:
        self._record("security group", self.cloud.create_group(self.desired.name))

    def _update_rules(self, _: Step) -> None:
        existing = {rule for rule, _ in self._rules}
        if missing := self.desired.rules - existing:
            self.cloud.add_rules(self._ids["security group"], missing)
        for rule, id in self._rules:  # noqa: A001
            if rule not in self.desired.rules:
                self.cloud.delete_rule(id)

    @property
    def _groups(self) -> tuple[str, ...]:
        """The security groups of the nodes' ports; none where they have no effect."""
        if not self.desired.has_port_security:
            return ()
        return (self._ids["security group"], *self.desired.security_groups)

    def _create_port(self, step: Step) -> None:
        name, place = self.desired.name, (self._ids["network"], self._ids["subnet"])
        if step.ids:
            for start in range(0, len(step.ids), PORTS_AT_ONCE):
                some = step.ids[start : start + PORTS_AT_ONCE]
                self._worker_ports |= self.cloud.create_worker_ports(name, some, *place, self._groups)
            return
        role = resources.role_of(name, step.name)
        port, self._addresses[role] = self.cloud.create_port(name, *place, self._groups, role=role)
        self._record("port", port, f"{role}'s port", resources.hub_mark(name) if role == "hub" else "")

    def _update_port(self, step: Step) -> None:
        self.cloud.set_groups(step.ids[0], self._groups)

    def _delete_port(self, step: Step) -> None:
        self.cloud.delete("port", step.ids[0])

    def _create_floating(self, _: Step) -> None:
        floating, self._floating_address = self.cloud.create_floating(
            self.desired.name, self.desired.external, self._hub_port
        )
        self._record("floating IP", floating)

    def _attach_floating(self, step: Step) -> None:
        self.cloud.attach_floating(step.ids[0], self._hub_port)

    def _create_key(self, _: Step) -> None:
        public_key = self.cluster_dir.ensure_key()
        try:
            self.cloud.create_key(self.desired.name, public_key)
        except ProvisionError as error:
            # "failed to generate fingerprint": an old Nova, or its `cryptography` (launchpad.net/bugs/1555521).
            if "fingerprint" not in error.message or not public_key.startswith("ssh-ed25519 "):
                raise
            file = self.cluster_dir.private_key
            raise ProvisionError(
                error.message,
                "This cloud may be too old for keys of the type ED25519. Give the cluster one of another type, and run "
                f"the same command again: rm '{file}' && ssh-keygen -q -t rsa -b 4096 -N '' -f '{file}'.",
            ) from error

    def _create_server_group(self, _: Step) -> None:
        self._record("server group", self.cloud.create_server_group(self.desired.name, self.desired.policy))

    def _delete_server_group(self, step: Step) -> None:
        self.cloud.delete("server group", step.ids[0])

    def _create_servers(self, step: Step) -> None:
        role = resources.role_of(self.desired.name, step.ids[0])
        if role == "worker":
            port = self._worker_ports[step.ids[0]] if self.desired.own_ports else ""
        else:
            port = self._ids[f"{role}'s port"]
        self._free(port)
        self.cloud.create_servers(
            self.desired.name,
            step.ids,
            role=role,
            image=self.desired.image,
            flavor=self.cloud.flavor_id(self.desired.flavor_of(role)),
            network={"port": port} if port else {"uuid": self._ids["network"]},
            groups=self._groups,
            user_data=self._given_to(role).user_data,
            zone=self.desired.zone_of(role),
            server_group=self._server_group(role),
            metadata=self._given_to(role).metadata,
        )

    def _free(self, port: str) -> None:
        """Have the server deleted for good that an earlier run has deleted, and that the cloud keeps with its port."""
        device = self._holders.get(port, "")
        if device and self.cloud.server_status(device) == SOFT_DELETED:
            Deletion(self.cloud, self.desired.name, [device], self.progress, sleep=self._sleep).wait()

    def _given_to(self, role: Role) -> _Given:
        """Return what the new servers of a role get."""
        if role not in self._given:
            self._given[role] = _Given(self._user_data(role), self._metadata(role))
        return self._given[role]

    def _user_data(self, role: Role) -> str:
        spec, sizing = self.resolved.spec, self.resolved.sizing
        context = node_context(spec, sizing, self.addresses, self.secrets, role)
        return user_data(context, accounts=role not in self._without_accounts)

    def _metadata(self, role: Role) -> dict[str, str]:
        key = resources.fingerprint(self.secrets.operator_public_key)
        metadata = {resources.META_SPEC: self.desired.spec, resources.META_KEY: key}
        if role == self.desired.hub_role:
            metadata |= hub_metadata(self.desired, self.addresses, self.secrets)
        if role in self._without_accounts:
            metadata[resources.META_ACCOUNTS] = ""
        return metadata

    def _server_group(self, role: Role) -> str:
        """Return the id of the server group that a new node is put into; empty: none."""
        there = self.desired.group_of(role)
        if there is not None:
            return there.id
        return self._ids["server group"] if role == "worker" and self.desired.policy else ""

    def _start_server(self, step: Step) -> None:
        self.cloud.start_server(step.ids[0], self._servers[step.ids[0]].status)

    def _delete_server(self, step: Step) -> None:
        self.cloud.delete_server(step.ids[0])
        self._deleting.add(step.ids[0])

    def _note_deletion(self, step: Step) -> None:
        self._deleting.update(step.ids)

    def _await_deletions(self) -> None:
        """Wait until deleted servers no longer exist: their names, ports and quota are needed."""
        Deletion(self.cloud, self.desired.name, self._deleting, self.progress, sleep=self._sleep).wait()
        self._deleting.clear()


def _at_once(cluster: str, steps: Iterable[Step]) -> Iterator[list[Step]]:
    """Put together, in their order, the steps that do not wait for each other."""

    def wave(step: Step) -> int:
        return next((at for at, steps in enumerate(_WAVES) if f"{step.verb} {step.kind}" in steps), -1)

    def alike(step: Step) -> tuple[str, str, Role]:
        return step.verb, step.kind, resources.role_of(cluster, step.name)

    for in_waves, some in groupby(steps, lambda step: wave(step) >= 0):
        if in_waves:
            yield from ([*group] for _, group in groupby(sorted(some, key=wave), wave))
            continue
        for (_, kind, _), group in groupby(some, alike):
            if kind in _MANY:
                yield [*group]
            else:
                yield from ([step] for step in group)


def apply_all(
    apply: _Apply,
    plan: Plan,
    again: Callable[[_Apply], tuple[_Apply, Plan]],
    progress: Progress,
    sleep: Callable[[float], None],
) -> _Apply:
    """Apply a plan; when the cloud fails to answer, look `again` after the pause that it asks for, and apply the rest.

    `again` plans what is left. Raises TransientError when ATTEMPTS tries in a row have got nothing done.
    """
    left, fewest = ATTEMPTS, len(plan.steps)
    while True:
        try:
            apply.run(plan)
        except TransientError as error:
            left -= 1
            if not left:
                raise
            # A cloud may ask for no pause at all, and a date that it names may be over by this machine's clock.
            pause = max(error.pause, PAUSE)
            progress.note(f"{error.message}; looking again in {pause:.0f} s")
            sleep(pause)
        else:
            return apply
        apply, plan = again(apply)
        if len(plan.steps) < fewest:
            left, fewest = ATTEMPTS, len(plan.steps)
