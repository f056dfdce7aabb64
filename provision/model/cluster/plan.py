"""The plan: ordered steps from what the cloud holds to what the spec asks for, each with its reason.

There is no state file: planning again after any interruption gives the steps that are left.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final

from provision.base.constants import PORTS
from provision.base.errors import UsageError
from provision.model.cluster.network_steps import access_steps, network_steps, only
from provision.model.cluster.resources import (
    DEFAULT_ORIGIN,
    group_name,
    hub_name,
    master_name,
    natural,
    role_of,
    worker_names,
)
from provision.model.cluster.sizing import master_heap
from provision.model.cluster.statuses import BUILDING, STARTABLE, refuse_stuck
from provision.model.cluster.steps import Plan, Step, WaitingData, create_together
from provision.model.monitoring.cluster.gathering import gathering

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from provision.base.model import ClusterSpec, Role, Sizing
    from provision.model.cluster.resources import ObservedCluster, Server
    from provision.model.cluster.steps import DesiredState

_CHANGED: Final = (
    "the spec's Hub, access, key pair, Spark settings, monitoring or flavors have changed, or what this version makes "
    "of them"
)
"""Nodes carry only the hash of the spec that they were set up with: it tells that something changed, not what."""
_NO_PORT_SECURITY: Final = (
    "network.existing has port security off: there are no security groups, and the nodes' own firewalls alone keep "
    "others out"
)


def made_from_another(desired: DesiredState, observed: ObservedCluster) -> str:
    """Return the file that a live cluster was made from if the desired state is the default spec; else nothing."""
    made = observed.hub_server.origin if observed.hub_server else ""
    return made if made != DEFAULT_ORIGIN and not desired.origin else ""


def spec_hash(spec: ClusterSpec, sizing: Sizing, certificate: str = "", login: str = "") -> str:
    """Hash the settings that nodes are configured with, besides users.

    `certificate` is the user's own (PEM), `login` the settings of hub.login with their secret.
    """
    data: dict[str, object] = {
        "name": spec.name,
        "spark": asdict(spec.spark),
        # What follows from the master's flavor: another flavor is another master.
        "sizing": asdict(replace(sizing, sizes=(), user_memory=0, users_memory=0, daemons_memory=0)),
        # How many drivers there may be: in the nodes' settings, and in their firewalls.
        "ports": PORTS.retries,
        "access": [str(network) for network in spec.network.access or ()],
        "hub": [
            spec.hub.port,
            spec.hub.idle_timeout,
            asdict(spec.hub.limits),
            # A user who is alone has the memory of all.
            spec.hub.limits.memory_mib is None and spec.hub.alone,
            certificate,
        ],
    }
    if login:
        data["login"] = login
    if spec.public_key:
        data["key"] = spec.public_key
    if spec.monitoring:
        hundreds = gathering(spec.workers.count).hundreds
        data["monitoring"] = hundreds if hundreds > 1 else True
    if heap := master_heap(spec.workers.count):
        data["heap"] = heap
    if spec.proxy:
        data["proxy"] = asdict(spec.proxy)
    if spec.packages.has_jars:
        # Only whether there are any is in the nodes' settings; which ones is a matter of DesiredState.packages.
        data["jars"] = True
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def plan(desired: DesiredState, observed: ObservedCluster, data: WaitingData | None = None) -> Plan:
    """Plan the steps from the observed to the desired state; `data` is what waits to be restored.

    Raises UsageError when the spec asks for a change that cannot be made in place, and ProvisionError when the cloud
    holds two of a resource that a cluster has one of.
    """
    refuse_to_move_the_hub(desired, observed)
    servers = [*_plan_servers(desired, observed)]
    carrying, restoring = _plan_data(desired, observed, data or WaitingData())
    going = [step for step in servers if step.verb in ("wait", "delete", "remove")]
    coming = [step for step in servers if step.verb not in ("wait", "delete", "remove")]
    ids = {server for step in going for server in step.ids}
    names = [name for step in coming if step.verb == "create" for name in step.ids]
    steps = [*carrying, *going, *network_steps(desired, observed), *access_steps(desired, observed, ids, names)]
    steps += [*_plan_server_group(desired, observed), *coming, *restoring]
    notes = () if desired.has_port_security or not steps else (_NO_PORT_SECURITY,)
    return Plan(desired.name, tuple(steps), notes).with_note(_more_users_than_notebooks(desired, steps))


def _more_users_than_notebooks(desired: DesiredState, steps: Sequence[Step]) -> str:
    """Say how many notebooks run at once where the node with the Hub gets more users than that; empty otherwise."""
    hub, most = _hub_node_name(desired), PORTS.retries + 1
    concerned = any(step.verb in ("create", "configure") and step.name == hub for step in steps)
    if len(desired.users) <= most or not concerned:
        return ""
    return (
        f"hub.users names {len(desired.users)} people, and at most {most} notebooks and other programs of theirs run "
        "at once: each has ports of its own"
    )


def _names(desired: DesiredState) -> tuple[str, ...]:
    """Return the names of all nodes."""
    own = (hub_name(desired.name),) if desired.hub_role == "hub" else ()
    return (master_name(desired.name), *own, *worker_names(desired.name, desired.count))


def _hub_node_name(desired: DesiredState) -> str:
    """Return the name of the node with the Hub."""
    return hub_name(desired.name) if desired.hub_role == "hub" else master_name(desired.name)


def hub_elsewhere(name: str, role: Role, observed: ObservedCluster) -> str:
    """Return where the Hub of cluster `name` is, if that is not a node of the role that its spec says; else nothing."""
    # The address of the Hub is noted on its node alone.
    on_master = [server.name for server in observed.nodes if server.role == "master" and server.floating]
    if role == "hub" and on_master:
        return f"on {on_master[0]}"
    return f"on {hub_name(name)}, a node of its own" if role == "master" and observed.hub_role == "hub" else ""


def refuse_to_move_the_hub(desired: DesiredState, observed: ObservedCluster) -> None:
    """Raise UsageError where the spec puts the Hub of a live cluster on another node: homes would stay behind."""
    lives = hub_elsewhere(desired.name, desired.hub_role, observed)
    if not lives:
        return
    fix = f"Write `on: {'master' if desired.hub_role == 'hub' else 'node'}`"
    fix += ". Or make another cluster, and bring it the files with `provision backup` and `provision restore`."
    if made := made_from_another(desired, observed):
        fix = f"It was made from {made}: run this where that file is, or name it with -f."
    raise UsageError(
        f"{desired.source}: hub.on: the Hub of this cluster is {lives}, with everybody's files, and cannot move", fix
    )


def _plan_data(desired: DesiredState, observed: ObservedCluster, data: WaitingData) -> tuple[list[Step], list[Step]]:
    """Return the steps for people's data: before the node with the Hub is deleted, and when the new one is ready."""
    name = _hub_node_name(desired)
    called = "master" if desired.hub_role == "master" else "node"
    master = _choose_servers((name,), observed.nodes)[0].get(name)
    replaced = master is not None and _must_replace(desired, master, observed)[1]
    # What was taken from a master that stays is on it still.
    waiting = [server for server in data.servers if master is None or server != master.id]
    carrying = []
    if master is not None and replaced:
        obstacle = _obstacle(master, observed)
        if not data.without and not obstacle:
            waiting.append(master.id)
            why = f"homes, /shared and the Hub's state go to the new {called}; notebooks and jobs end"
            carrying.append(Step("carry", "data", name, why, (master.id,)))
        elif master.id in data.servers:
            # An earlier run has taken it.
            waiting.append(master.id)
        else:
            why = "--without-data was given" if data.without else f"it cannot be read: {obstacle}"
            carrying.append(Step("lose", "data", name, why, (master.id,), destructive=True))
    if not waiting:
        return carrying, []
    return carrying, [Step("restore", "data", name, f"from the {called} that was there before", tuple(waiting))]


def _obstacle(master: Server, observed: ObservedCluster) -> str:
    """Return why the node with the Hub cannot be reached over SSH, as far as the cloud knows; empty if it can."""
    what = "the master" if master.role == "master" else "the Hub's node"
    if master.status != "ACTIVE":
        return f"{what} is {master.status}"
    port = observed.port_of(master.role)
    if port is None:
        return f"{what}'s port was removed"
    if observed.floatings and not any(floating.port == port.id for floating in observed.floatings):
        return f"no floating IP leads to {what}"
    return "" if observed.address else "there is no floating IP"


def _plan_servers(desired: DesiredState, observed: ObservedCluster) -> Iterator[Step]:
    for server in observed.servers:
        if server.deleting:
            yield Step("wait", "server", server.name, "it is being deleted", (server.id,))
    names = _names(desired)
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


def _plan_server_group(desired: DesiredState, observed: ObservedCluster) -> Iterator[Step]:
    """Plan the server group by which workers.spread is kept. Servers are put into one when they are created only."""
    name = group_name(desired.name)
    group = only("server group", observed.server_groups, desired.name)
    if group is not None and group.policy != desired.policy:
        why = f"its policy is {group.policy}, and the spec asks for {desired.policy or 'none'}"
        yield Step("delete", "server group", name, why, (group.id,))
        group = None
    if group is None and desired.policy:
        yield Step("create", "server group", name, f"{desired.policy}, for the workers")


def _remove(desired: DesiredState, keep: dict[str, Server], surplus: Sequence[Server]) -> Iterator[Step]:
    """Plan what the spec does not name: servers that are too many, and users."""
    workers = f"{desired.count} worker{'s' if desired.count != 1 else ''}"
    for server in surplus:
        if server.name in keep:
            # A second one with the Hub that has run may hold people's files.
            loses = server.role == desired.hub_role and server.launched and server.status not in BUILDING
            yield Step("delete", "server", server.name, "there are two with this name", (server.id,), destructive=loses)
        else:
            yield Step("remove", "server", server.name, f"the spec asks for {workers}", (server.id,), destructive=True)
    hub = keep.get(_hub_node_name(desired))
    for user in (hub.users or ()) if hub else ():
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


def _another_kind(desired: DesiredState, server: Server, observed: ObservedCluster) -> str:
    """Return how a server differs from what the spec asks for in flavor, zone or server group; empty if it does not."""
    flavor, zone = desired.flavor_of(server.role), desired.zone_of(server.role)
    if server.flavor != flavor:
        return f"it is a {server.flavor}, and the spec asks for {flavor}"
    if zone and server.zone not in ("", zone):
        return f"it is in availability zone {server.zone}, and the spec asks for {zone}"
    group = desired.group_of(server.role)
    if group is not None and group.id not in server.server_groups:
        return f"it is not in server group {group.name}"
    spread = {each.id for each in observed.server_groups if each.policy == desired.policy}
    if desired.policy and server.role == "worker" and not spread & set(server.server_groups):
        return "it is not in the server group of workers.spread"
    return ""


def _must_replace(desired: DesiredState, server: Server, observed: ObservedCluster) -> tuple[str, bool]:
    """Return why a server must be replaced, empty if it need not, and whether somebody's work may be lost with it."""
    if server.status == "ERROR" and not server.launched:
        return f"it could not be built: {server.fault or 'the cloud gave no reason'}", False
    if server.status == "ERROR":
        return f"it is in ERROR: {server.fault or 'the cloud gave no reason'}", True
    if server.role != "worker" and observed.port_of(server.role) is None:
        return "its port was removed, and its address with it", True
    if another := _another_kind(desired, server, observed):
        return another, True
    if desired.same_image and desired.image and server.image != desired.image:
        return "it was created from another image", True
    return "", False


def _must_configure(desired: DesiredState, server: Server, observed: ObservedCluster) -> str:
    """Return why a server's settings must be brought to the spec; empty if they need not."""
    if server.spec != desired.spec:
        return _CHANGED
    if server.role != desired.hub_role:
        return ""
    if server.accounts != desired.accounts:
        return "hub.users has changed"
    if server.floating != _address(desired, observed):
        return "the Hub's address has changed"
    if server.certificate < desired.certificate:
        return f"the Hub's certificate is valid until {server.certificate or 'a day that is not noted'}"
    return ""


def _address(desired: DesiredState, observed: ObservedCluster) -> str:
    """Return where the Hub will be; empty: at a floating IP that is to be made."""
    if observed.floatings:
        return observed.floatings[0].address
    port = observed.port_of(desired.hub_role)
    return desired.floating_address if desired.has_floating else port.address if port else ""


def _create_servers(desired: DesiredState, missing: Sequence[str], replaced: set[str]) -> Iterator[Step]:
    workers: list[str] = []
    others: list[str] = []
    for name in missing:
        (workers if role_of(desired.name, name) == "worker" else others).append(name)
    for name in others:
        why = "in place of the old one" if name in replaced else "there is none"
        yield Step("create", "server", name, why, (name,))
    if not workers:
        return
    if len(workers) == desired.count and len(workers) > 1 and not desired.own_ports:
        yield create_together(workers)
        return
    for name in workers:
        why = "in place of the old one" if name in replaced else "the spec asks for it"
        yield Step("create", "server", name, why, (name,))
