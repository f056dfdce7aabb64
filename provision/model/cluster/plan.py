"""The plan: ordered steps from what the cloud holds to what the spec asks for, each with its reason.

There is no state file: planning again after any interruption gives the steps that are left.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from provision.base.constants import PORTS
from provision.base.errors import ProvisionError, UsageError
from provision.model.cluster.resources import (
    DEFAULT_ORIGIN,
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
from provision.model.cluster.statuses import BUILDING, STARTABLE, refuse_stuck

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from ipaddress import IPv4Network

    from provision.base.model import ClusterSpec, Sizing

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
_Any = TypeVar("_Any")

_CHANGED: Final = "the spec's Hub, access, Spark settings or flavors have changed"
"""Nodes carry only the hash of the spec that they were set up with: it tells that something changed, not what."""


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

    @property
    def destructive(self) -> tuple[Step, ...]:
        """The steps that need `--replace`."""
        return tuple(step for step in self.steps if step.destructive)

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
    """Data of masters that were replaced, on this machine, and what is wished for that of the present one."""

    servers: tuple[str, ...] = ()
    """Ids of the servers whose data is complete here and was not restored, the oldest first."""
    without: bool = False
    """Whether a master may be replaced without its data (`--without-data`)."""


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
    def tested(self) -> str:
        """What the smoke test has to have passed with: the settings, and the packages if there are any."""
        return f"{self.spec}+{self.packages}" if self.packages else self.spec


def made_from_another(desired: DesiredState, observed: ObservedCluster) -> str:
    """Return the file that a live cluster was made from if the desired state is the default spec; else nothing."""
    made = next((server.origin for server in observed.nodes if server.role == "master"), "")
    return made if made != DEFAULT_ORIGIN and not desired.origin else ""


def spec_hash(spec: ClusterSpec, sizing: Sizing, certificate: str = "") -> str:
    """Hash the settings that nodes are configured with, besides users; `certificate` is the user's own (PEM)."""
    data: dict[str, object] = {
        "name": spec.name,
        "spark": asdict(spec.spark),
        # What follows from the master's flavor: another flavor is another master.
        "sizing": asdict(replace(sizing, sizes=(), user_memory=0, users_memory=0, daemons_memory=0)),
        "access": [str(network) for network in spec.network.access or ()],
        "hub": [
            spec.hub.port,
            spec.hub.idle_timeout,
            asdict(spec.hub.limits),
            # A user who is alone has the memory of all.
            spec.hub.limits.memory_mib is None and len(spec.hub.users) == 1,
            certificate,
        ],
    }
    if spec.packages.has_jars:
        # Only whether there are any is in the nodes' settings; which ones is a matter of DesiredState.packages.
        data["jars"] = True
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


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
    )
    people = (
        (PORTS.ssh, PORTS.ssh),
        (spec.hub.port, spec.hub.port),
    )
    rules = {Rule(first, last, NODES) for first, last in between}
    return frozenset(rules | {Rule(first, last, str(peer)) for peer in access for first, last in people})


def plan(desired: DesiredState, observed: ObservedCluster, data: WaitingData | None = None) -> Plan:
    """Plan the steps from the observed to the desired state; `data` is what waits to be restored.

    Raises UsageError when the spec asks for a change that cannot be made in place, and ProvisionError when the cloud
    holds two of a resource that a cluster has one of.
    """
    servers = [*_plan_servers(desired, observed)]
    carrying, restoring = _plan_data(desired, observed, data or WaitingData())
    steps = [*carrying, *(step for step in servers if step.verb in ("wait", "delete", "remove"))]
    steps += [*_plan_network(desired, observed), *_plan_access(desired, observed)]
    steps += [*(step for step in servers if step.verb not in ("wait", "delete", "remove")), *restoring]
    return Plan(desired.name, tuple(steps))


def _plan_data(desired: DesiredState, observed: ObservedCluster, data: WaitingData) -> tuple[list[Step], list[Step]]:
    """Return the steps for people's data: before a master is deleted, and when the new one is ready."""
    name = master_name(desired.name)
    master = _choose_servers((name,), observed.nodes)[0].get(name)
    replaced = master is not None and _must_replace(desired, master, observed)[1]
    # What was taken from a master that stays is on it still.
    waiting = [server for server in data.servers if master is None or server != master.id]
    carrying = []
    if master is not None and replaced:
        obstacle = _obstacle(master, observed)
        if not data.without and not obstacle:
            waiting.append(master.id)
            why = "homes, /shared and the Hub's state go to the new master; notebooks end"
            carrying.append(Step("carry", "data", name, why, (master.id,)))
        elif master.id in data.servers:
            # An earlier run has taken it.
            waiting.append(master.id)
        else:
            why = "--without-data was given" if data.without else f"it cannot be read: {obstacle}"
            carrying.append(Step("lose", "data", name, why, (master.id,), destructive=True))
    if not waiting:
        return carrying, []
    return carrying, [Step("restore", "data", name, "from the master that was there before", tuple(waiting))]


def _obstacle(master: Server, observed: ObservedCluster) -> str:
    """Return why a master cannot be reached over SSH, as far as the cloud knows; empty if it can."""
    if master.status != "ACTIVE":
        return f"the master is {master.status}"
    port = observed.master_port
    if port is None:
        return "the master's port was removed"
    if not any(floating.port == port.id for floating in observed.floatings):
        return "no floating IP leads to the master"
    return ""


def _only(kind: str, things: Sequence[_Any], cluster: str) -> _Any | None:
    if len(things) > 1:
        raise ProvisionError(
            f"the cloud holds {len(things)} {kind}s that carry the mark of cluster {cluster}",
            "Was `provision up` run on two machines at once? Remove one by hand, or everything with `provision down`.",
        )
    return things[0] if things else None


def _plan_network(desired: DesiredState, observed: ObservedCluster) -> Iterator[Step]:
    name = desired.name
    network = _only("network", observed.networks, name)
    subnet = _only("subnet", observed.subnets, name)
    router = _only("router", observed.routers, name)
    group = _only("security group", observed.groups, name)
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
        yield Step("create", "router", name, "connects the nodes to the outside")
    elif desired.external and router.external != desired.external:
        yield Step("update", "router", name, "its gateway is not on network.external", (router.id,))
    if router is None or not any(port.on_router and port.device == router.id for port in observed.ports):
        yield Step("attach", "router", name, "it is not connected to the subnet")
    if group is None:
        yield Step("create", "security group", name, "there is none")
    rules = {rule for rule, _ in group.rules} if group else set()
    if rules != desired.rules:
        yield Step("update", "security group", name, _describe_difference(desired.rules, rules))
    for kind, thing in (("network", network), ("subnet", subnet), ("router", router), ("security group", group)):
        yield from _tag(kind, name, thing)


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


def _plan_access(desired: DesiredState, observed: ObservedCluster) -> Iterator[Step]:
    name = desired.name
    port = _only("port", [port for port in observed.ports if port.marked], name)
    floating = _only("floating IP", observed.floatings, name)
    key = _only("key pair", observed.keys, name)
    if port is None:
        yield Step("create", "port", master_name(name), "the master's address, known before it boots")
    if floating is None:
        yield Step("create", "floating IP", name, "the Hub's address")
    elif port is None or floating.port != port.id:
        yield Step("attach", "floating IP", floating.address, "it does not lead to the master", (floating.id,))
    yield from _tag("port", master_name(name), port)
    yield from _tag("floating IP", name, floating)
    if key is None:
        yield Step("create", "key pair", key_name(name), "the operator's SSH key")


def _plan_servers(desired: DesiredState, observed: ObservedCluster) -> Iterator[Step]:
    for server in observed.servers:
        if server.deleting:
            yield Step("wait", "server", server.name, "it is being deleted", (server.id,))
    names = (master_name(desired.name), *worker_names(desired.name, desired.count))
    keep, surplus = _choose_servers(names, observed.nodes)
    yield from _remove(desired, keep, surplus)
    replaced = set()
    for server in keep.values():
        why, destructive = _must_replace(desired, server, observed)
        if why:
            replaced.add(server.name)
            yield Step("delete", "server", server.name, why, (server.id,), destructive=destructive)
    missing = [name for name in names if name not in keep or name in replaced]
    yield from _create_servers(desired, missing, replaced)
    for server in keep.values():
        if server.name in replaced:
            continue
        refuse_stuck(server)
        if server.status in STARTABLE:
            yield Step("start", "server", server.name, f"it is {server.status}", (server.id,))
        if why := _must_configure(desired, server, observed):
            yield Step("configure", "server", server.name, why, (server.id,))
    for server in keep.values():
        if server.name not in replaced and server.packages != desired.packages:
            why = "they are not those of the spec" if desired.packages else "the spec has none any more"
            yield Step("install", "packages", server.name, why, (server.id,))


def _remove(desired: DesiredState, keep: dict[str, Server], surplus: Sequence[Server]) -> Iterator[Step]:
    """Plan what the spec does not name: servers that are too many, and users."""
    workers = f"{desired.count} worker{'s' if desired.count != 1 else ''}"
    for server in surplus:
        if server.name in keep:
            # A second master that has run may hold people's files.
            loses = server.role == "master" and server.launched and server.status not in BUILDING
            yield Step("delete", "server", server.name, "there are two with this name", (server.id,), destructive=loses)
        else:
            yield Step("remove", "server", server.name, f"the spec asks for {workers}", (server.id,), destructive=True)
    master = keep.get(master_name(desired.name))
    for user in (master.users or ()) if master else ():
        if user not in desired.users:
            why = "hub.users does not name this user; the home goes to /var/backups/notebooks"
            yield Step("remove", "user", user, why, destructive=True)


def _choose_servers(names: Sequence[str], servers: Sequence[Server]) -> tuple[dict[str, Server], list[Server]]:
    """Pick one server for each desired name, an active one if there are two, and list the rest."""
    keep: dict[str, Server] = {}
    rest: list[Server] = []
    for server in sorted(servers, key=lambda server: (server.status != "ACTIVE", server.id)):
        if server.name in names and server.name not in keep:
            keep[server.name] = server
        else:
            rest.append(server)
    return keep, sorted(rest, key=lambda server: natural(server.name))


def _flavor(desired: DesiredState, server: Server) -> str:
    return desired.master_flavor if server.role == "master" else desired.worker_flavor


def _must_replace(desired: DesiredState, server: Server, observed: ObservedCluster) -> tuple[str, bool]:
    """Return why a server must be replaced, empty if it need not, and whether somebody's work may be lost with it."""
    if server.status == "ERROR" and not server.launched:
        return f"it could not be built: {server.fault or 'the cloud gave no reason'}", False
    if server.status == "ERROR":
        return f"it is in ERROR: {server.fault or 'the cloud gave no reason'}", True
    if server.role == "master" and observed.master_port is None:
        return "its port was removed, and its address with it", True
    if server.flavor != _flavor(desired, server):
        return f"it is a {server.flavor}, and the spec asks for {_flavor(desired, server)}", True
    if desired.same_image and desired.image and server.image != desired.image:
        return "it was created from another image", True
    return "", False


def _must_configure(desired: DesiredState, server: Server, observed: ObservedCluster) -> str:
    """Return why a server's settings must be brought to the spec; empty if they need not."""
    if server.spec != desired.spec:
        return _CHANGED
    if server.role != "master":
        return ""
    if server.accounts != desired.accounts:
        return "hub.users has changed"
    if server.floating not in [floating.address for floating in observed.floatings]:
        return "its floating IP has changed"
    if server.certificate < desired.certificate:
        return f"the Hub's certificate is valid until {server.certificate or 'a day that is not noted'}"
    return ""


def _create_servers(desired: DesiredState, missing: Sequence[str], replaced: set[str]) -> Iterator[Step]:
    master, workers = master_name(desired.name), [name for name in missing if name != master_name(desired.name)]
    if master in missing:
        why = "in place of the old one" if master in replaced else "there is none"
        yield Step("create", "server", master, why, (master,))
    if not workers:
        return
    if len(workers) == desired.count and len(workers) > 1:
        label = f"{workers[0]} to {len(workers)}"
        yield Step("create", "server", label, f"{len(workers)} workers in one request", tuple(workers))
        return
    for name in workers:
        why = "in place of the old one" if name in replaced else "the spec asks for it"
        yield Step("create", "server", name, why, (name,))
