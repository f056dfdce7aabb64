"""Look up what a spec names that was there before the cluster: it is used, and never changed or deleted."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from provision.base.errors import UsageError
from provision.model.cluster import resources

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from provision.adapters.openstack.cloud import Cloud, ExistingGroup, ExistingNetwork, ExistingRouter, ExistingSubnet
    from provision.base.model import ClusterSpec
    from provision.model.cluster.resources import ObservedCluster, Port, ServerGroup

_OWN_NETWORK: Final = "or remove network.existing: then `up` makes one."


class _Named(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


_Thing = TypeVar("_Thing", bound=_Named)


@dataclass(frozen=True, slots=True)
class ThingsThere:
    """Ids of what the spec names that was there before the cluster."""

    network: str = ""
    subnet: str = ""
    several_subnets: bool = False
    """Whether servers on the network could get addresses of another subnet."""
    port_security: bool = True
    """Whether security groups have an effect on the network."""
    router: str = ""
    router_external: str = ""
    """The external network that the router leads to; empty: none."""
    floating: str = ""
    security_groups: tuple[str, ...] = ()
    shared_groups: bool = False
    """Whether one of these is another project's."""
    master_group: ServerGroup | None = None
    hub_group: ServerGroup | None = None
    worker_group: ServerGroup | None = None

    @property
    def own_ports(self) -> str:
        """Why workers' ports are made before them; empty: Nova makes them."""
        if self.several_subnets:
            return "on network.subnet, which is one of several"
        # Older Novas look up the groups of a port that they make in the server's project alone, and end in ERROR.
        return "in a security group that another project shares" if self.shared_groups else ""


@contextmanager
def names_file(source: str) -> Iterator[None]:
    """Put the spec's file before an error about a field of it."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{source}: {error.message}", error.hint) from None


def find_existing(cloud: Cloud, spec: ClusterSpec, observed: ObservedCluster) -> tuple[ThingsThere, ClusterSpec]:
    """Return the ids, and the spec with what only the cloud knows of them. Raises UsageError that names the field."""
    there = ThingsThere()
    if spec.network.existing:
        network, subnet = _find_network(cloud, spec, observed.master_port)
        spec = replace(spec, network=replace(spec.network, cidr=subnet.cidr))
        there = ThingsThere(network.id, subnet.id, len(network.subnets) > 1, network.port_security)
    if spec.network.router:
        router = _find_router(cloud, spec)
        there = replace(there, router=router.id, router_external=router.external)
    if isinstance(spec.network.floating_ip, str):
        there = replace(there, floating=_find_floating(cloud, spec, observed))
    if spec.network.security_groups:
        found = _find_security_groups(cloud, spec, observed, there)
        shared = any(group.shared for group in found)
        there = replace(there, security_groups=tuple(group.id for group in found), shared_groups=shared)
    if any(asked_groups(spec).values()):
        groups = _find_server_groups(cloud, spec)
        there = replace(
            there, master_group=groups["master"], hub_group=groups.get("hub"), worker_group=groups["workers"]
        )
    if spec.key_pair:
        spec = replace(spec, public_key=_find_key(cloud.key_pairs(), spec))
    return there, spec


def find_of_live(cloud: Cloud, spec: ClusterSpec, observed: ObservedCluster) -> ClusterSpec:
    """Return the spec of a cluster whose nodes are there, with what only the cloud knows of what they are on.

    Without the key of a key pair that is gone: the nodes have it.
    """
    port = observed.master_port
    if spec.network.existing and port:
        network = _network_of(cloud, spec, port)
        # Whatever the two are called by now.
        own = [each for each in network.subnets if port.address and IPv4Address(port.address) in each.cidr]
        cidr = own[0].cidr if own else _find_subnet(spec, network, port).cidr
        spec = replace(spec, network=replace(spec.network, cidr=cidr))
    if spec.key_pair:
        with suppress(UsageError):
            spec = replace(spec, public_key=_find_key(cloud.key_pairs(), spec))
    return spec


def _network_of(cloud: Cloud, spec: ClusterSpec, port: Port) -> ExistingNetwork:
    """Return the existing network that a live node is on, whatever it is called by now."""
    named = None
    with suppress(UsageError):
        named = cloud.network(spec.network.existing)
    if named and named.id == port.network:
        return named
    return cloud.network(port.network) or _find_network(cloud, spec, port)[0]


def asked_groups(spec: ClusterSpec) -> dict[str, str]:
    """Return the server groups that the spec names, by section."""
    own = {"hub": spec.hub.node.server_group} if spec.hub.node else {}
    return {"master": spec.master.server_group, **own, "workers": spec.workers.server_group}


def check_zones(cloud: Cloud, spec: ClusterSpec) -> None:
    """Raise UsageError for an availability zone that the cloud does not have."""
    asked = {"master": spec.master.zone, "hub": spec.hub_node.zone, "workers": spec.workers.zone}
    if not any(asked.values()):
        return
    known = cloud.zones()
    for role, zone in asked.items():
        if zone and zone not in known:
            raise UsageError(
                f"{role}.availability_zone: cloud {spec.cloud!r} has no availability zone {zone!r}", _listed(known)
            )


def _listed(names: Iterable[str]) -> str:
    return f"It has: {', '.join(sorted(set(names))) or 'none'}."


def _find_network(cloud: Cloud, spec: ClusterSpec, port: Port | None) -> tuple[ExistingNetwork, ExistingSubnet]:
    """Return the existing network, and its subnet. Raises UsageError where nodes cannot live on it."""
    name = spec.network.existing
    found = cloud.network(name)
    if found is None:
        raise UsageError(f"network.existing: cloud {spec.cloud!r} has no network {name!r}", _listed(cloud.networks()))
    return found, _find_subnet(spec, found, port)


def _find_subnet(spec: ClusterSpec, network: ExistingNetwork, port: Port | None) -> ExistingSubnet:
    """Return the subnet that the spec names, or that of the master's port, or the only one."""
    name, wanted = spec.network.existing, spec.network.subnet
    choice = ", ".join(f"{each.name or each.id} ({each.cidr})" for each in network.subnets)
    if not network.subnets:
        raise UsageError(
            f"network.existing: network {name!r} has no IPv4 subnet for servers", f"Name another, {_OWN_NETWORK}"
        )
    if wanted:
        found = [each for each in network.subnets if wanted in {each.id, each.name}]
        if not found:
            raise UsageError(f"network.subnet: network {name!r} has no IPv4 subnet {wanted!r}", f"It has: {choice}.")
    else:
        # A live cluster stays where it is when its network gets another subnet.
        own = [each for each in network.subnets if port and port.address and IPv4Address(port.address) in each.cidr]
        found = own or [*network.subnets]
    if len(found) > 1:
        field = "subnet" if wanted else "existing"
        what = f"subnets are called {wanted!r}" if wanted else f"IPv4 subnets ({choice})"
        ids = ", ".join(each.id for each in found)
        raise UsageError(
            f"network.{field}: network {name!r} has {len(found)} {what}, and the nodes have to be on the same one",
            f"Write the id of one as network.subnet: {ids}." if wanted else "Name one of them as network.subnet.",
        )
    return found[0]


def _find_router(cloud: Cloud, spec: ClusterSpec) -> ExistingRouter:
    found = cloud.router(spec.network.router)
    if found is None:
        raise UsageError(
            f"network.router: cloud {spec.cloud!r} has no router {spec.network.router!r} in this project",
            "`openstack router list` shows those that there are; without network.router `up` makes one.",
        )
    if spec.network.floating_ip and not found.external:
        raise UsageError(
            f"network.router: {spec.network.router!r} has no gateway on an external network, and no floating IP would "
            "reach the Hub",
            "Name another, or write `floating_ip: false`.",
        )
    return found


def _find_floating(cloud: Cloud, spec: ClusterSpec, observed: ObservedCluster) -> str:
    """Return the id of the floating IP that the spec names. Raises UsageError where it leads to something else."""
    address = str(spec.network.floating_ip)
    found = cloud.floating(address)
    if found is None:
        raise UsageError(
            f"network.floating_ip: this project of cloud {spec.cloud!r} has no floating IP {address}",
            "`openstack floating ip list` shows those that there are; `floating_ip: true` makes one.",
        )
    own = observed.port_of(observed.hub_role)
    if found.port and not (own and own.id == found.port):
        raise UsageError(
            f"network.floating_ip: {address} leads to another port, {found.port}, already",
            "Name one that is free, or take it from there: `openstack floating ip unset --port` and its address.",
        )
    return found.id


def _find_one(field: str, kind: str, name: str, things: Sequence[_Thing], cloud: str) -> _Thing:
    found = [each for each in things if each.id == name] or [each for each in things if each.name == name]
    if not found:
        raise UsageError(f"{field}: cloud {cloud!r} has no {kind} {name!r}", _listed(each.name for each in things))
    if len(found) > 1:
        ids = ", ".join(sorted(each.id for each in found))
        raise UsageError(
            f"{field}: {len(found)} {kind}s are called {name!r}", f"Give the id of one instead of the name: {ids}."
        )
    return found[0]


def _find_security_groups(
    cloud: Cloud, spec: ClusterSpec, observed: ObservedCluster, there: ThingsThere
) -> list[ExistingGroup]:
    if not there.port_security:
        raise UsageError(
            f"network.security_groups: network {spec.network.existing!r} has port security off, so that security "
            "groups do nothing there",
            "Remove the line, or name a network with port security.",
        )
    things = cloud.security_groups()
    groups: list[ExistingGroup] = []
    own = {group.id for group in observed.groups}
    for place, name in enumerate(spec.network.security_groups):
        field = f"network.security_groups[{place}]"
        found = _find_one(field, "security group", name, things, spec.cloud)
        if found.id in own:
            raise UsageError(
                f"{field}: {name!r} is the cluster's own security group", "Remove it: the nodes are in that one anyway."
            )
        if found in groups:
            raise UsageError(f"{field}: {name!r} is listed twice", "Keep one of the two.")
        groups.append(found)
    return groups


def _find_server_groups(cloud: Cloud, spec: ClusterSpec) -> dict[str, ServerGroup | None]:
    things = cloud.server_groups()

    def find(role: str, name: str) -> ServerGroup | None:
        if not name:
            return None
        field = f"{role}.server_group"
        found = _find_one(field, "server group", name, things, spec.cloud)
        if found.name == resources.group_name(spec.name):
            raise UsageError(
                f"{field}: {found.name!r} is what the cluster's own server group is called, which `down` deletes",
                "Name another, or write `spread` instead.",
            )
        return found

    return {section: find(section, name) for section, name in asked_groups(spec).items()}


def _find_key(keys: Mapping[str, str], spec: ClusterSpec) -> str:
    key = keys.get(spec.key_pair, "")
    if not key:
        raise UsageError(
            f"key_pair: this user of cloud {spec.cloud!r} has no key pair {spec.key_pair!r}", _listed(keys)
        )
    if not key.startswith(("ssh-", "ecdsa-", "sk-")):
        raise UsageError(
            f"key_pair: {spec.key_pair!r} is not a key for SSH",
            "Name a key pair of the type ssh; `openstack keypair list` shows the types.",
        )
    # What follows is a comment, which may be anything.
    return " ".join(key.split()[:2])
