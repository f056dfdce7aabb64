"""Look at a cluster from all sides, for `provision doctor`; changes nothing."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from provision.adapters import net, ssh
from provision.adapters.host.certificates import end_of
from provision.adapters.remote import over_ssh
from provision.base.constants import PORTS
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import Addresses
from provision.clusterfile.loading import DEFAULT_SOURCE
from provision.model.cluster import console, example
from provision.model.cluster.network_steps import wanted_rules
from provision.model.cluster.plan import hub_elsewhere
from provision.model.cluster.render import on_demand, public_context, units
from provision.model.doctor.observed import ObservedNode, ObservedSparkCluster
from provision.operations.cluster.nodes import UP_HINT, with_host_keys
from provision.operations.cluster.resolve import find_cluster_dir
from provision.operations.doctor.questions import Question, ask, units_of

if TYPE_CHECKING:
    from provision.adapters.cluster_dir import ClusterDir
    from provision.adapters.openstack.cloud import Cloud
    from provision.base.model import ClusterSpec
    from provision.model.cluster.resources import ObservedCluster, Server

_IMPATIENT: Final = ("-o", "ConnectTimeout=60", "-o", "BatchMode=yes")
"""The cluster's own ssh_config waits longer for a connection."""
_CONSOLE_LINES: Final = 5


def examine(cloud: Cloud, spec: ClusterSpec) -> ObservedSparkCluster:
    """Look at everything. What does not answer is part of what is seen.

    Raises ProvisionError when there is no cluster, the cloud does not answer, or this machine has no key. Raises
    UsageError where the spec has the Hub on another node: which units a node has to have follows from that.
    """
    observed = cloud.observe(spec.name, spec.workers.count)
    if not observed.servers:
        raise ProvisionError(f"there is no cluster {spec.name} on cloud {spec.cloud!r}", UP_HINT)
    cluster_dir = find_cluster_dir(cloud, spec.name)
    if not cluster_dir.private_key.exists():
        raise ProvisionError(
            f"this machine has no key for cluster {spec.name}: {cluster_dir.private_key} is missing",
            "Copy the folder from the machine that made the cluster.",
        )
    if lives := hub_elsewhere(spec.name, spec.hub_role, observed):
        raise UsageError(
            f"hub.on: the Hub of this cluster is {lives}, and the spec says otherwise",
            "Run this where the file is that the cluster was made from, or name that with -f.",
        )
    seen = _from_cloud(cloud, spec, observed)
    salt = secrets.token_hex(16)
    kept = cluster_dir.spark_secret()
    nodes = _ask_nodes(cloud, spec, cluster_dir, observed=observed, seen=seen, salt=salt)
    hub = replace(seen, nodes=nodes).hub
    # What the Hub presents, and what it will once it starts again.
    served = [hub.fact("hub", {}).get("certificate", ""), hub.fact("certificate", "")] if hub else []
    ends = min(filter(None, map(end_of, served)), default=None)
    digest = hmac.new(bytes.fromhex(salt), kept.encode(), hashlib.sha256).hexdigest() if kept else ""
    return replace(seen, nodes=nodes, now=datetime.now(UTC), secret=digest, certificate_ends=ends)


def _from_cloud(cloud: Cloud, spec: ClusterSpec, observed: ObservedCluster) -> ObservedSparkCluster:
    """Return what the cloud says."""
    servers = observed.nodes
    port = observed.port_of(observed.hub_role)
    floating = observed.floatings[0] if observed.floatings else None
    groups = {group.id for group in observed.groups}
    there = {rule for group in observed.groups for rule, _ in group.rules if rule}
    secured = {each.device: set(each.groups) for each in observed.ports if each.device and each.secured}
    return ObservedSparkCluster(
        name=spec.name,
        cloud=spec.cloud,
        now=datetime.now(UTC),
        nodes=tuple(ObservedNode(each.name, each.role, each.address, each.status, each.fault) for each in servers),
        count=spec.workers.count,
        users=tuple(user.name for user in spec.hub.users),
        units=_units(spec),
        floating=observed.address,
        attached=bool(port and floating.port == port.id if floating else observed.address),
        rules=tuple(sorted(wanted_rules(spec, spec.network.access or ()) - there)) if groups else (),
        ungrouped=tuple(each.name for each in servers if each.id in secured and not groups & secured[each.id]),
        short=_shortage(cloud, spec, servers),
        hub_is_apart=spec.hub.node is not None,
    )


def _units(spec: ClusterSpec) -> dict[str, tuple[str, ...]]:
    """Return the units of each role. Which they are does not depend on sizes, so the cloud is not asked for any."""
    sizing = example.sizing(spec, DEFAULT_SOURCE, ())
    contexts = {role: public_context(spec, sizing, Addresses("", ""), role) for role in spec.roles}
    return {
        role: units_of([*units(context), *on_demand(context)], hub=role == spec.hub_role)
        for role, context in contexts.items()
    }


def _shortage(cloud: Cloud, spec: ClusterSpec, servers: tuple[Server, ...]) -> tuple[str, ...]:
    """Say what the quota lacks for the nodes that are missing or were not built; asked only if there are any."""
    built = [each for each in servers if each.status != "ERROR"]
    missing = Counter({role: spec.workers.count if role == "worker" else 1 for role in spec.roles})
    wanted = {"master": spec.master.flavor, "hub": spec.hub_node.flavor, "worker": spec.workers.flavor}
    missing -= Counter(each.role for each in built)
    if not missing:
        return ()
    try:
        room, flavors = cloud.room(), cloud.flavors()
    except ProvisionError:
        return ()  # what is missing is told anyhow
    need: Counter[str] = Counter()
    for role, count in missing.items():
        flavor = flavors.get(wanted[role])
        if flavor:
            need.update({"instances": count, "cores": count * flavor.vcpus, "RAM (MiB)": count * flavor.ram})
    # What failed still counts, and is removed before it is made again.
    for each in servers:
        if each.status == "ERROR" and each.flavor in flavors:
            gone = flavors[each.flavor]
            need.subtract({"instances": 1, "cores": gone.vcpus, "RAM (MiB)": gone.ram})
    return tuple(f"{count} {what}, {room[what]} left" for what, count in need.items() if count > room.get(what, count))


def _ask_nodes(
    cloud: Cloud,
    spec: ClusterSpec,
    cluster_dir: ClusterDir,
    *,
    observed: ObservedCluster,
    seen: ObservedSparkCluster,
    salt: str,
) -> tuple[ObservedNode, ...]:
    """Ask the nodes over SSH; read the console of those that do not answer."""
    nodes = seen.nodes
    if seen.floating and seen.attached and seen.hub and seen.hub.status == "ACTIVE":
        bastion = spec.network.bastion
        if bastion or net.accepts_connections(seen.floating, PORTS.ssh, timeout=10):
            known = with_host_keys(cloud, cluster_dir, [each for each in observed.nodes if each.address])
            config = ssh.write_config(cluster_dir.folder, known, seen.floating, bastion)
            question = Question(nodes, seen.units, seen.users, spec.hub.port, salt)
            nodes = ask(question, lambda name: over_ssh(config, name, *_IMPATIENT))
        else:
            why = f"nothing answers at {seen.floating}:{PORTS.ssh}"
            nodes = tuple(replace(node, silent=why) for node in nodes)
    ids = {server.name: server.id for server in observed.nodes}
    return tuple(node if node.answers else replace(node, console=_console(cloud, ids[node.name])) for node in nodes)


def _console(cloud: Cloud, server: str) -> tuple[str, ...]:
    """Return what a node's console says: how far its boot came, why it failed, and its last lines."""
    try:
        text = cloud.console(server)
    except ProvisionError as error:
        return (error.message,)
    report = console.read(text)
    said = [report.failure.reason] if report.failure else []
    said += [f"the boot came to: {report.phase}"] if report.phase else []
    return (*console.tail(text, _CONSOLE_LINES), *said)
