"""Spec + what the cloud holds -> the ordered steps that make one into the other, each with its why.

There is no state file: planning again after any interruption gives the steps that are left.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from provision.base.constants import PORTS
from provision.base.errors import ProvisionError, UsageError
from provision.model.cluster.resources import (
    NODES,
    ObservedCluster,
    Owned,
    Rule,
    Server,
    key_name,
    master_name,
    natural,
    worker_names,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from ipaddress import IPv4Network

    from provision.base.model import ClusterSpec, Sizing

Verb = Literal["wait", "delete", "create", "tag", "attach", "update", "start", "configure"]
_Any = TypeVar("_Any")

STARTABLE: Final = {"SHUTOFF", "PAUSED", "SUSPENDED"}
_CHANGED: Final = "the spec's users, Hub, access or Spark settings, or its flavors, changed since it was set up"
"""A node carries the hash of the spec that it was set up by: that they differ is known, in what is not."""
BUILDING: Final = {"BUILD", "REBUILD", "REBOOT", "HARD_REBOOT"}


@dataclass(frozen=True, slots=True)
class Step:
    """One change: `ids` are the things it is about (for a server's creation: the names)."""

    verb: Verb
    kind: str
    name: str
    why: str
    ids: tuple[str, ...] = ()
    destructive: bool = False
    """Somebody's work may be lost: done only with `--replace`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps in the order they are taken; none means that the cloud is as the spec asks."""

    cluster: str
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)

    @property
    def destructive(self) -> tuple[Step, ...]:
        """The steps that need `--replace`."""
        return tuple(step for step in self.steps if step.destructive)

    def as_data(self) -> dict[str, object]:
        """Give the plan as `plan --json` prints it."""
        return {
            "cluster": self.cluster,
            "nothing_to_do": not self.steps,
            "steps": [asdict(step) for step in self.steps],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class DesiredState:
    """The spec after the cloud was asked: names became ids, defaults became values."""

    name: str
    cidr: str
    external: str
    rules: frozenset[Rule]
    image: str
    """The image's id; empty while the golden image is not there yet."""
    public_key: str
    """Empty while no key was made on this machine."""
    master_flavor: str
    worker_flavor: str
    count: int
    spec: str
    same_image: bool = False
    """Whether nodes of another image have to go: not because a newer golden image was baked, unless it is asked for."""
    source: str = field(default="cluster.yaml", compare=False)


def spec_hash(spec: ClusterSpec, sizing: Sizing, certificate: str = "") -> str:
    """Hash what a node's configuration depends on; `certificate` is the user's own one (PEM), if any."""
    data = {
        "name": spec.name,
        "spark": asdict(spec.spark),
        "sizing": asdict(sizing),
        "access": [str(network) for network in spec.network.access or ()],
        "hub": [spec.hub.port, spec.hub.idle_timeout, [asdict(user) for user in spec.hub.users], certificate],
    }
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def wanted_rules(spec: ClusterSpec, access: Sequence[IPv4Network]) -> frozenset[Rule]:
    """List what is open: the pinned ports between the nodes, and the people's ports to the access ranges."""
    retries = PORTS.retries
    between = (
        (PORTS.ssh, PORTS.ssh),
        (PORTS.spark_master, PORTS.spark_master),
        (PORTS.spark_worker, PORTS.spark_worker),
        (PORTS.spark_worker_ui, PORTS.spark_worker_ui),
        (PORTS.driver, PORTS.driver + retries),
        (PORTS.driver_block_manager, PORTS.driver_block_manager + retries),
        (PORTS.block_manager, PORTS.block_manager + retries),
    )
    people = (
        (PORTS.ssh, PORTS.ssh),
        (spec.hub.port, spec.hub.port),
        (PORTS.spark_master_ui, PORTS.spark_master_ui),
        (PORTS.spark_worker_ui, PORTS.spark_worker_ui),
        (PORTS.app_ui, PORTS.app_ui_last),
        (PORTS.spark_history, PORTS.spark_history),
    )
    rules = {Rule(first, last, NODES) for first, last in between}
    return frozenset(rules | {Rule(first, last, str(peer)) for peer in access for first, last in people})


def plan(desired: DesiredState, seen: ObservedCluster) -> Plan:
    """Plan the steps from what is seen to what is desired.

    Raises UsageError where the spec asks for what cannot be changed in place, ProvisionError where the cloud holds two
    of what a cluster has one of.
    """
    servers = [*_servers(desired, seen)]
    steps = [*(step for step in servers if step.verb in ("wait", "delete")), *_network(desired, seen)]
    steps += [*_reach(desired, seen), *(step for step in servers if step.verb not in ("wait", "delete"))]
    return Plan(desired.name, tuple(steps))


def _only(kind: str, things: Sequence[_Any], cluster: str) -> _Any | None:
    if len(things) > 1:
        raise ProvisionError(
            f"the cloud holds {len(things)} {kind}s that carry the mark of cluster {cluster}",
            "Was `provision up` run from two machines at once? Remove one by hand, or all of it with `provision down`.",
        )
    return things[0] if things else None


def _network(desired: DesiredState, seen: ObservedCluster) -> Iterator[Step]:
    name = desired.name
    network = _only("network", seen.networks, name)
    subnet = _only("subnet", seen.subnets, name)
    router = _only("router", seen.routers, name)
    group = _only("security group", seen.groups, name)
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
    if router is None:
        yield Step("create", "router", name, "the way out, and in for the floating IP")
    elif desired.external and router.external != desired.external:
        yield Step("update", "router", name, "its gateway is not on network.external", (router.id,))
    if router is None or not any(port.on_router and port.device == router.id for port in seen.ports):
        yield Step("attach", "router", name, "the subnet is not behind it")
    if group is None:
        yield Step("create", "security group", name, "there is none")
    have = {rule for rule, _ in group.rules} if group else set()
    if have != desired.rules:
        yield Step("update", "security group", name, _difference(desired.rules, have))
    for kind, thing in (("network", network), ("subnet", subnet), ("router", router), ("security group", group)):
        yield from _tag(kind, name, thing)


def _tag(kind: str, name: str, thing: Owned | None) -> Iterator[Step]:
    if thing is not None and not thing.tagged:
        yield Step("tag", kind, name, "its tags were not set", (thing.id,))


def _difference(want: frozenset[Rule], have: set[Rule | None]) -> str:
    more = sorted(want - have)
    less = sorted(rule for rule in have - want if rule is not None)
    parts = []
    if more:
        parts.append("open " + _listed(more))
    if less:
        parts.append("close " + _listed(less))
    if None in have:
        parts.append("remove rules that are not of the cluster")
    return "; ".join(parts)


def _listed(rules: Sequence[Rule]) -> str:
    """Write rules in few words: the ports of each peer once, and peers of the same ports together."""
    ports: dict[str, list[str]] = {}
    for rule in rules:
        ports.setdefault(rule.peer, []).append(rule.ports)
    peers: dict[str, list[str]] = {}
    for peer, its in ports.items():
        peers.setdefault(", ".join(its), []).append(peer)
    return " and ".join(f"{some} from {', '.join(whose)}" for some, whose in peers.items())


def _reach(desired: DesiredState, seen: ObservedCluster) -> Iterator[Step]:
    name = desired.name
    marked = [port for port in seen.ports if port.marked]
    port = _only("marked port", marked, name)
    floating = _only("floating IP", seen.floatings, name)
    key = _only("key pair", seen.keys, name)
    if port is None:
        yield Step("create", "port", master_name(name), "the master's address, known before anything boots")
    if floating is None:
        yield Step("create", "floating IP", name, "where the Hub is reached")
    elif port is None or floating.port != port.id:
        yield Step("attach", "floating IP", floating.address, "it does not lead to the master", (floating.id,))
    yield from _tag("port", master_name(name), port)
    yield from _tag("floating IP", name, floating)
    if key is None:
        yield Step("create", "key pair", key_name(name), "the operator's way in")


def _servers(desired: DesiredState, seen: ObservedCluster) -> Iterator[Step]:
    for server in seen.servers:
        if server.deleting:
            yield Step("wait", "server", server.name, "it is being deleted", (server.id,))
    names = (master_name(desired.name), *worker_names(desired.name, desired.count))
    keep, surplus = _choose(names, seen.nodes)
    asked = f"{desired.count} worker{'s' if desired.count != 1 else ''}"
    for server in surplus:
        why = "there are two of this name" if server.name in keep else f"the spec asks for {asked}"
        yield Step("delete", "server", server.name, why, (server.id,))
    doomed = set()
    for server in keep.values():
        why, lost = _must_replace(desired, server, seen)
        if why:
            doomed.add(server.name)
            yield Step("delete", "server", server.name, why, (server.id,), destructive=lost)
    gone = [name for name in names if name not in keep or name in doomed]
    yield from _create_servers(desired, gone, doomed)
    for server in keep.values():
        if server.name in doomed:
            continue
        if server.status in STARTABLE:
            yield Step("start", "server", server.name, f"it is {server.status}", (server.id,))
        if server.spec != desired.spec:
            yield Step("configure", "server", server.name, _CHANGED, (server.id,))
        elif server.role == "master" and server.floating not in [floating.address for floating in seen.floatings]:
            yield Step("configure", "server", server.name, "its floating IP is a new one", (server.id,))


def _choose(names: Sequence[str], servers: Sequence[Server]) -> tuple[dict[str, Server], list[Server]]:
    """Pick one server per desired name, a working one where there are two, and list the rest."""
    keep: dict[str, Server] = {}
    rest: list[Server] = []
    for server in sorted(servers, key=lambda one: (one.status != "ACTIVE", one.id)):
        if server.name in names and server.name not in keep:
            keep[server.name] = server
        else:
            rest.append(server)
    return keep, sorted(rest, key=lambda one: natural(one.name))


def _flavor(desired: DesiredState, server: Server) -> str:
    return desired.master_flavor if server.role == "master" else desired.worker_flavor


def _must_replace(desired: DesiredState, server: Server, seen: ObservedCluster) -> tuple[str, bool]:
    """Say why a server must go, if it must, and whether something may be lost with it."""
    if server.status == "ERROR" and not server.launched:
        return f"it could not be built: {server.fault or 'the cloud gave no reason'}", False
    if server.status == "ERROR":
        return f"it is in ERROR: {server.fault or 'the cloud gave no reason'}", True
    if server.role == "master" and seen.master_port is None:
        return "its port was removed, and with it its address", True
    if server.flavor != _flavor(desired, server):
        return f"it is a {server.flavor}, and the spec asks for {_flavor(desired, server)}", True
    if desired.same_image and desired.image and server.image != desired.image:
        return "its image is not the spec's", True
    return "", False


def _create_servers(desired: DesiredState, gone: Sequence[str], doomed: set[str]) -> Iterator[Step]:
    master, workers = master_name(desired.name), [name for name in gone if name != master_name(desired.name)]
    if master in gone:
        why = "in place of the old one" if master in doomed else "there is none"
        yield Step("create", "server", master, why, (master,))
    if not workers:
        return
    if len(workers) == desired.count and len(workers) > 1:
        label = f"{workers[0]} to {len(workers)}"
        yield Step("create", "server", label, f"{len(workers)} workers in one request", tuple(workers))
        return
    for name in workers:
        why = "in place of the old one" if name in doomed else "the spec asks for it"
        yield Step("create", "server", name, why, (name,))
