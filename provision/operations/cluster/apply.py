"""Take a plan's steps on the cloud, one request each, so that whatever interrupts it, planning again goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, cast

from provision.base.errors import ProvisionError
from provision.base.model import Addresses
from provision.model.cluster import resources
from provision.model.cluster.render import node_context, user_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from provision.adapters.cluster_dir import ClusterDir
    from provision.adapters.openstack.cloud import Cloud
    from provision.base.model import Role, Secrets
    from provision.base.progress import Progress
    from provision.model.cluster.plan import DesiredState, Plan, Step
    from provision.model.cluster.resources import Kind, ObservedCluster
    from provision.operations.cluster.resolve import ResolvedSpec

LEAVE_SECONDS: Final = 300
"""How long a VM may take to be deleted before we call it stuck."""


class Apply:
    """The things that are there, and the steps that make the rest."""

    def __init__(
        self,
        cloud: Cloud,
        cluster_dir: ClusterDir,
        progress: Progress,
        *,
        found: ResolvedSpec,
        desired: DesiredState,
        seen: ObservedCluster,
    ) -> None:
        self.cloud = cloud
        self.found = found
        self.desired = desired
        self.cluster_dir = cluster_dir
        self.progress = progress
        self._ids: dict[str, str] = {}
        self._rules: tuple[tuple[resources.Rule | None, str], ...] = ()
        self._servers = {server.id: server for server in seen.servers}
        self._leaving: set[str] = set()
        self._address = ""
        self._floating = ""
        self._secrets: Secrets | None = None
        self._know(seen)

    def _know(self, seen: ObservedCluster) -> None:
        for kind, things in (
            ("network", seen.networks),
            ("subnet", seen.subnets),
            ("router", seen.routers),
            ("security group", seen.groups),
            ("floating IP", seen.floatings),
        ):
            if things:
                self._ids[kind] = things[0].id
        if seen.groups:
            self._rules = seen.groups[0].rules
        if seen.floatings:
            self._floating = seen.floatings[0].address
        if seen.master_port:
            self._ids["port"] = seen.master_port.id
            self._address = seen.master_port.address

    @property
    def addresses(self) -> Addresses:
        """The master's two addresses; known once its port and floating IP are there."""
        if not (self._address and self._floating):
            raise ProvisionError("the master has no address yet", "Run the same command again.")
        return Addresses(self._address, self._floating)

    @property
    def secrets(self) -> Secrets:
        """The cluster's secrets, made when they are first needed."""
        if self._secrets is None:
            self._secrets = self.cluster_dir.ensure_secrets(self.found.spec, self.addresses)
        return self._secrets

    def run(self, plan: Plan) -> None:
        """Take all steps except `configure`, which wants nodes that run."""
        acts: dict[tuple[str, str], Callable[[Step], None]] = {
            ("create", "network"): self._network,
            ("create", "subnet"): self._subnet,
            ("create", "router"): self._router,
            ("update", "router"): self._gateway,
            ("attach", "router"): self._interface,
            ("create", "security group"): self._group,
            ("update", "security group"): self._open,
            ("create", "port"): self._port,
            ("create", "floating IP"): self._float,
            ("attach", "floating IP"): self._lead,
            ("create", "key pair"): self._key,
            ("create", "server"): self._boot,
            ("delete", "server"): self._delete,
            ("wait", "server"): self._leave,
            ("start", "server"): self._start,
        }
        for step in plan.steps:
            if step.verb == "configure":
                continue
            self.progress.update(f"{step.kind} {step.name}", f"{step.verb} …")
            if step.verb == "tag":
                self.cloud.tag(cast("Kind", step.kind), step.ids[0], self.desired.name)
            else:
                acts[step.verb, step.kind](step)
            self.progress.update(f"{step.kind} {step.name}", "done")
        self._gone()

    def _made(self, kind: Kind, id: str) -> None:  # noqa: A002 - the cloud's own word
        self._ids[kind] = id
        self.cloud.tag(kind, id, self.desired.name)

    def _network(self, _: Step) -> None:
        self._made("network", self.cloud.create_network(self.desired.name))

    def _subnet(self, _: Step) -> None:
        name = self.desired.name
        self._made("subnet", self.cloud.create_subnet(name, self._ids["network"], self.desired.cidr))

    def _router(self, _: Step) -> None:
        self._made("router", self.cloud.create_router(self.desired.name, self.desired.external))

    def _gateway(self, step: Step) -> None:
        self.cloud.set_gateway(step.ids[0], self.desired.external)

    def _interface(self, _: Step) -> None:
        self.cloud.add_interface(self._ids["router"], self._ids["subnet"])

    def _group(self, _: Step) -> None:
        self._made("security group", self.cloud.create_group(self.desired.name))

    def _open(self, _: Step) -> None:
        have = {rule for rule, _ in self._rules}
        if missing := self.desired.rules - have:
            self.cloud.add_rules(self._ids["security group"], missing)
        for rule, id in self._rules:  # noqa: A001
            if rule not in self.desired.rules:
                self.cloud.delete_rule(id)

    def _port(self, _: Step) -> None:
        made, self._address = self.cloud.create_port(
            self.desired.name, self._ids["network"], self._ids["subnet"], self._ids["security group"]
        )
        self._made("port", made)

    def _float(self, _: Step) -> None:
        made, self._floating = self.cloud.create_floating(self.desired.name, self.desired.external, self._ids["port"])
        self._made("floating IP", made)

    def _lead(self, step: Step) -> None:
        self.cloud.attach_floating(step.ids[0], self._ids["port"])

    def _key(self, _: Step) -> None:
        self.cloud.create_key(self.desired.name, self.cluster_dir.ensure_key())

    def _boot(self, step: Step) -> None:
        self._gone()
        master = step.ids == (resources.master_name(self.desired.name),)
        role: Role = "master" if master else "worker"
        spec, sizing = self.found.spec, self.found.sizing
        text = user_data(node_context(spec, sizing, self.addresses, self.secrets, role))
        metadata = {resources.META_SPEC: self.desired.spec}
        if master:
            metadata[resources.META_FLOATING] = self.addresses.floating
        flavor = self.desired.master_flavor if master else self.desired.worker_flavor
        self.cloud.create_servers(
            self.desired.name,
            step.ids,
            role=role,
            image=self.desired.image,
            flavor=self.cloud.flavor_id(flavor),
            network={"port": self._ids["port"]} if master else {"uuid": self._ids["network"]},
            group=self._ids["security group"],
            user_data=text,
            metadata=metadata,
        )

    def _start(self, step: Step) -> None:
        self.cloud.start_server(step.ids[0], self._servers[step.ids[0]].status)

    def _delete(self, step: Step) -> None:
        self.cloud.delete_server(step.ids[0])
        self._leaving.add(step.ids[0])

    def _leave(self, step: Step) -> None:
        self._leaving.update(step.ids)

    def _gone(self) -> None:
        """Wait for deleted VMs to vanish: their names, ports and quota are needed."""
        await_gone(self.cloud, self.desired.name, self._leaving, self.progress, time.sleep)
        self._leaving.clear()


def await_gone(
    cloud: Cloud, name: str, leaving: Iterable[str], progress: Progress, sleep: Callable[[float], None]
) -> None:
    """Wait until the servers with these ids are gone; raises ProvisionError when one does not go."""
    left = set(leaving)
    deadline = time.monotonic() + LEAVE_SECONDS
    while left:
        here = {server.id: server for server in cloud.servers(name)}
        for server in here.values():
            if server.id in left:
                progress.update(f"server {server.name}", "being deleted")
        left &= set(here)
        if left and time.monotonic() > deadline:
            names = ", ".join(sorted(here[one].name for one in left))
            raise ProvisionError(
                f"the cloud has not deleted {names} after {LEAVE_SECONDS} s",
                "Is its hypervisor down? Run the same command again; an administrator can force the deletion.",
            )
        if left:
            sleep(1)
