"""Plan what nodes need to be reached: network, router, security group, first ports, floating IP, key pair.

What was there before the cluster is used as it is (docs/how-to/existing-networks.md): no step changes it, but those
that attach it.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, TypeVar

from provision.base.constants import PORTS
from provision.base.errors import ProvisionError, UsageError
from provision.model.cluster.resources import NODES, Rule, hub_name, key_name, master_name, role_of
from provision.model.cluster.steps import Step

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from provision.base.model import ClusterSpec
    from provision.model.cluster.resources import Floating, Group, ObservedCluster, Owned, Port
    from provision.model.cluster.steps import DesiredState

_Any = TypeVar("_Any")


def wanted_rules(spec: ClusterSpec, access: Sequence[IPv4Network]) -> frozenset[Rule]:
    """Return the security group's rules: Spark's ports between the nodes, people's ports from the access ranges."""
    retries = PORTS.retries
    between = (
        (PORTS.ssh, PORTS.ssh),
        (PORTS.spark_master, PORTS.spark_master),
        (PORTS.spark_worker, PORTS.spark_worker),
        (PORTS.spark_worker_ui, PORTS.spark_worker_ui),
        (PORTS.driver, PORTS.driver + retries),
        (PORTS.driver_block_manager, PORTS.driver_block_manager + retries),
        (PORTS.block_manager, PORTS.block_manager + retries),
        (PORTS.nfs, PORTS.nfs),
        # The Hub's node shows the master's page, and kernels ask there for their shares.
        *([(PORTS.spark_master_ui, PORTS.spark_master_ui)] if spec.hub.node else []),
        *([(PORTS.node_metrics, PORTS.node_metrics)] if spec.monitoring else []),
    )
    people = (
        (PORTS.ssh, PORTS.ssh),
        (spec.hub.port, spec.hub.port),
    )
    rules = {Rule(first, last, NODES) for first, last in between}
    return frozenset(rules | {Rule(first, last, str(peer)) for peer in access for first, last in people})


def only(kind: str, things: Sequence[_Any], cluster: str) -> _Any | None:
    """Return the one of a kind that a cluster has. Raises ProvisionError where there are two."""
    if len(things) > 1:
        raise ProvisionError(
            f"the cloud holds {len(things)} {kind}s that carry the mark of cluster {cluster}",
            "Was `provision up` run on two machines at once? Remove one by hand, or everything with `provision down`.",
        )
    return things[0] if things else None


def network_steps(desired: DesiredState, observed: ObservedCluster) -> Iterator[Step]:
    """Plan the network, its router and the security group."""
    _refuse_another_network(desired, observed)
    if not desired.network:
        yield from _plan_own_network(desired, observed)
    name = desired.name
    if desired.has_port_security:
        yield from _plan_group(desired, only("security group", observed.groups, name))
    for kind, things in (
        ("network", observed.networks),
        ("subnet", observed.subnets),
        ("router", observed.routers),
        ("security group", observed.groups),
    ):
        yield from _tag(kind, name, things[0] if things else None)


def _refuse_another_network(desired: DesiredState, observed: ObservedCluster) -> None:
    """Raise UsageError where the spec puts a cluster that exists on another network: its nodes cannot move."""
    port, own = observed.master_port, {network.id for network in observed.networks}
    if desired.network and own:
        lives, fix = "in a network of its own", "Remove network.existing"
    elif port and port.network not in (own or {desired.network}):
        lives, fix = f"in network {port.network}", f"Write `existing: {port.network}`"
    elif port and port.address and desired.network and IPv4Address(port.address) not in IPv4Network(desired.cidr):
        where = f"{desired.source}: network.subnet"
        raise UsageError(
            f"{where}: the master is at {port.address}, and nodes cannot move to {desired.cidr}",
            "Name the subnet that it is on, or remove the cluster with `provision down` first.",
        )
    else:
        return
    raise UsageError(
        f"{desired.source}: network.existing: the cluster lives {lives}, and its nodes cannot move to another",
        f"{fix}, or remove the cluster with `provision down` first.",
    )


def _plan_group(desired: DesiredState, group: Group | None) -> Iterator[Step]:
    if group is None:
        yield Step("create", "security group", desired.name, "there is none")
    rules = {rule for rule, _ in group.rules} if group else set()
    if rules != desired.rules:
        yield Step("update", "security group", desired.name, _describe_difference(desired.rules, rules))


def _plan_own_network(desired: DesiredState, observed: ObservedCluster) -> Iterator[Step]:
    name = desired.name
    network = only("network", observed.networks, name)
    subnet = only("subnet", observed.subnets, name)
    router = only("router", observed.routers, name)
    # The interface of a router that was there carries the mark: it is what `down` detaches.
    connected = [port.device for port in observed.ports if port.on_router and (port.marked or not desired.router)]
    if network is None:
        yield Step("create", "network", name, "there is none")
    if subnet is None:
        yield Step("create", "subnet", name, f"{desired.cidr} for the nodes")
    elif subnet.cidr != desired.cidr:
        raise UsageError(
            f"{desired.source}: network.cidr: the cluster lives in {subnet.cidr}, and a subnet's range cannot "
            f"change to {desired.cidr}",
            f"Write {subnet.cidr}, or remove the cluster with `provision down` first.",
        )
    elif desired.nameservers and set(subnet.nameservers) != set(desired.nameservers):
        why = f"its name servers are {_listed(subnet.nameservers)}, and not {_listed(desired.nameservers)}"
        yield Step("update", "subnet", name, why, (subnet.id,))
    if desired.router:
        if router or {port.device for port in observed.ports if port.on_router} - {desired.router}:
            raise UsageError(
                f"{desired.source}: network.router: the cluster has another router, and its nodes would be cut off",
                "Remove network.router, or remove the cluster with `provision down` first.",
            )
    elif router is None:
        yield Step("create", "router", name, "connects the nodes to the outside")
    elif desired.external and router.external != desired.external:
        yield Step("update", "router", name, "its gateway is not on network.external", (router.id,))
    if (desired.router or (router.id if router else "")) not in connected:
        yield Step("attach", "router", name, "it is not connected to the subnet")


def _listed(addresses: Sequence[str]) -> str:
    return ", ".join(addresses) or "those of the cloud"


def _tag(kind: str, name: str, thing: Owned | None) -> Iterator[Step]:
    if thing is not None and not thing.tagged:
        yield Step("tag", kind, name, "its tags are missing", (thing.id,))


def _describe_difference(desired: frozenset[Rule], existing: set[Rule | None]) -> str:
    missing = sorted(desired - existing)
    extra = sorted(rule for rule in existing - desired if rule is not None)
    parts = []
    if missing:
        parts.append("open " + _describe(missing))
    if extra:
        parts.append("close " + _describe(extra))
    if None in existing:
        parts.append("remove rules that are not the cluster's")
    return "; ".join(parts)


def _describe(rules: Sequence[Rule]) -> str:
    """Write rules in few words: the ports of each peer once, and peers with the same ports together."""
    ports_of: dict[str, list[str]] = {}
    for rule in rules:
        ports_of.setdefault(rule.peer, []).append(rule.ports)
    peers_of: dict[str, list[str]] = {}
    for peer, ports in ports_of.items():
        peers_of.setdefault(", ".join(ports), []).append(peer)
    return " and ".join(f"{ports} from {', '.join(peers)}" for ports, peers in peers_of.items())


def access_steps(
    desired: DesiredState, observed: ObservedCluster, going: Collection[str] = (), coming: Collection[str] = ()
) -> Iterator[Step]:
    """Plan the nodes' ports, the Hub's address and the key pair.

    `going`: ids of servers that are deleted; `coming`: names of those that are created.
    """
    name = desired.name
    ports = {"master": only("port", [port for port in observed.ports if port.for_master], name)}
    if desired.hub_role == "hub":
        # Before the master's: where that one alone is left of an interrupted `up`, the Hub is on it.
        ports["hub"] = only("port", [port for port in observed.ports if port.hub], name)
        if ports["hub"] is None:
            yield Step("create", "port", hub_name(name), "the address of the Hub's node, known before it boots")
    key = only("key pair", observed.keys, name)
    if ports["master"] is None:
        yield Step("create", "port", master_name(name), "the master's address, known before it boots")
    yield from _plan_worker_ports(desired, observed, going, coming)
    yield from _plan_port_groups(desired, observed, going)
    floating = only("floating IP", observed.floatings, name)
    yield from _plan_floating(desired, floating, ports[desired.hub_role])
    yield from _tag("port", master_name(name), ports["master"])
    yield from _tag("floating IP", name, floating if floating and floating.marked else None)
    if key is None:
        yield Step("create", "key pair", key_name(name), "the operator's SSH key")


def _plan_worker_ports(
    desired: DesiredState, observed: ObservedCluster, going: Collection[str], coming: Collection[str]
) -> Iterator[Step]:
    """Plan the workers' ports, where they are made before the workers, and remove those that no worker needs."""
    why = desired.own_ports
    workers = [each for each in coming if role_of(desired.name, each) == "worker"] if why else []
    staying = {server.id for server in observed.servers} - set(going)
    free = {port.name: port for port in observed.worker_ports if port.device not in staying}
    missing = tuple(worker for worker in workers if worker not in free)
    if missing:
        label = missing[0] if len(missing) == 1 else f"{missing[0]} to {missing[-1].rpartition('-')[2]}"
        yield Step("create", "port", label, why, missing)
    for name, port in free.items():
        if name not in workers:
            yield Step("delete", "port", name, "its worker is gone", (port.id,))


def _plan_port_groups(desired: DesiredState, observed: ObservedCluster, going: Collection[str]) -> Iterator[Step]:
    """Plan the security groups of ports that exist: the cluster's, and network.security_groups."""
    if not desired.has_port_security or not observed.groups:
        return
    wanted = {observed.groups[0].id, *desired.security_groups}
    names = {server.id: server.name for server in observed.servers if server.id not in going}
    for port in observed.ports:
        if port.secured and (port.for_master or port.hub or port.device in names) and set(port.groups) != wanted:
            why = "its security groups are not the cluster's and those of network.security_groups"
            yield Step("update", "port", names.get(port.device) or port.name, why, (port.id,))


def _plan_floating(desired: DesiredState, floating: Floating | None, port: Port | None) -> Iterator[Step]:
    made_otherwise = floating is not None and (
        not desired.has_floating or (floating.id != desired.floating if desired.floating else not floating.marked)
    )
    if floating is not None and made_otherwise:
        raise UsageError(
            f"{desired.source}: network.floating_ip: the cluster's address is {floating.address}, and the spec asks "
            "for another",
            "Write it as it was, or remove the cluster with `provision down` first.",
        )
    if not desired.has_floating:
        return
    if floating is None and not desired.floating:
        yield Step("create", "floating IP", desired.name, "the Hub's address")
    elif floating is None:
        why = "the Hub's address, which network.floating_ip names"
        yield Step("attach", "floating IP", desired.floating_address, why, (desired.floating,))
    elif port is None or floating.port != port.id:
        what = "the master" if desired.hub_role == "master" else "the Hub's node"
        yield Step("attach", "floating IP", floating.address, f"it does not lead to {what}", (floating.id,))
