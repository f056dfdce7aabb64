"""Checks that involve several fields of a spec."""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import combinations
from typing import TYPE_CHECKING, Final

from provision.base.model import GOLDEN
from provision.clusterfile import logins
from provision.clusterfile.document import Path, Problem
from provision.clusterfile.pinned import default_entry
from provision.clusterfile.units import Wrong

if TYPE_CHECKING:
    from provision.clusterfile.models import ClusterModel, HubModel, NetworkModel, SparkModel, WorkersModel

SPECIAL: Final = {
    "0.0.0.0/8": "this network",
    "127.0.0.0/8": "loopback",
    "169.254.0.0/16": "link-local (the instance metadata lives there)",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
}
OVERHEAD: Final = 6
"""Addresses of a subnet that nodes cannot have: network, broadcast, gateway, DHCP, metadata, one to replace a node."""
NAMESERVERS_AT_MOST: Final = 5
"""Neutron's max_dns_nameservers, which hardly any cloud changes."""

CLASS_PATHS: Final = ("spark.driver.extraClassPath", "spark.executor.extraClassPath")


def problems(model: ClusterModel) -> list[Problem]:
    """List the problems of a spec whose single fields are right."""
    return [
        *_image(model),
        *_proxy(model),
        *_network(model.network, nodes=model.workers.count + (2 if model.hub.on == "node" else 1)),
        *_workers(model.workers),
        *_spark(model.spark),
        *_hub_node(model),
        *_users(model.hub),
        *logins.problems(model.hub),
    ]


def _image(model: ClusterModel) -> list[Problem]:
    image = model.image
    if not image.stock:
        if "sources" not in image.model_fields_set:
            return []
        wrong = "nothing is installed on the nodes of a golden image"
        return [Problem(("image", "sources"), wrong, "Remove it, or add `stock: true` for a vendor's image.")]
    found = []
    if image.name == GOLDEN:
        wrong = "`golden` is the image with everything in it that this machine bakes"
        found.append(Problem(("image", "name"), wrong, "Name a vendor's image, or remove `stock`."))
    if model.hub.limits.disk is not None:
        # ext4 has to be made with it, or to be unmounted for it: neither can be done to a root that runs.
        wrong = "a stock image's file system does not count what its users have"
        found.append(Problem(("hub", "limits", "disk"), wrong, "Remove it, or use the golden image."))
    return found


def _proxy(model: ClusterModel) -> list[Problem]:
    if model.proxy is None or model.proxy.http or model.proxy.https:
        return []
    return [Problem(("proxy",), "it names no proxy", "Write `http`, `https` or both, or remove `proxy`.")]


def _network(network: NetworkModel, nodes: int) -> list[Problem]:
    rest = _security_groups(network) + _access(network)
    if network.existing:
        return _existing_network(network) + rest
    found = _nameservers(network)
    if network.subnet:
        wrong = "it is a subnet of an existing network, and network.existing names none"
        found.append(Problem(("network", "subnet"), wrong, "Name the network too, or write `cidr` for one of its own."))
    where: Path = ("network", "cidr")
    # The first one: a range that is far too large has all of them.
    special = next((text for text in SPECIAL if network.cidr.overlaps(IPv4Network(text))), "")
    if special:
        wrong = f"{network.cidr} overlaps {special}, {SPECIAL[special]}"
        found.append(Problem(where, wrong, "Use a private range: 10.20.0.0/24, for example."))
    room = network.cidr.num_addresses - OVERHEAD
    if room < nodes:
        prefix = 32 - (nodes + OVERHEAD - 1).bit_length()
        wrong = f"{network.cidr} has room for {max(room, 0)} nodes, and the cluster has {nodes}"
        found.append(Problem(where, wrong, f"Use a /{prefix} or larger range."))
    return found + rest


def _security_groups(network: NetworkModel) -> list[Problem]:
    return [
        Problem(("network", "security_groups", place), f"{name!r} is listed twice", "Keep one of the two.")
        for place, name in enumerate(network.security_groups)
        if name in network.security_groups[:place]
    ]


def _nameservers(network: NetworkModel) -> list[Problem]:
    where, names = ("network", "nameservers"), network.nameservers
    found = [
        Problem((*where, place), f"{name} is listed twice", "Keep one of the two.")
        for place, name in enumerate(names)
        if name in names[:place]
    ]
    if len(names) > NAMESERVERS_AT_MOST:
        wrong = f"{len(names)} name servers are more than Neutron takes for a subnet"
        found.append(Problem(where, wrong, f"Keep {NAMESERVERS_AT_MOST} of them."))
    return found


def _workers(workers: WorkersModel) -> list[Problem]:
    if workers.server_group is None or workers.spread == "off":
        return []
    wrong = f"spread: {workers.spread} makes a server group, and workers.server_group names one that is there"
    return [Problem(("workers", "spread"), wrong, "Keep one of the two: a server is in one server group.")]


def _hub_node(model: ClusterModel) -> list[Problem]:
    if model.hub.on == "node":
        if not model.monitoring:
            return []
        wrong = "the programs of monitoring are on the master, and hub.on puts the Hub that shows them on another node"
        return [Problem(("monitoring",), wrong, "Keep one of the two: `monitoring: true` or `hub: {on: node}`.")]
    wrong, fix = (
        "it is for a node of the Hub's own, and the Hub is on the master",
        "Write `on: node` too, or remove it.",
    )
    given = [name for name in ("flavor", "availability_zone", "server_group") if name in model.hub.model_fields_set]
    return [Problem(("hub", name), wrong, fix) for name in given]


def _existing_network(network: NetworkModel) -> list[Problem]:
    fix = "Remove it, or remove network.existing."
    why = {"cidr": "the range", "router": "the router", "nameservers": "name servers"}
    given = [name for name in why if name in network.model_fields_set]
    return [Problem(("network", name), f"an existing network has {why[name]} already", fix) for name in given]


def _access(network: NetworkModel) -> list[Problem]:
    found: list[Problem] = []
    if network.access is None and network.bastion:
        wrong = "the bastion's address, as the nodes see it, is not known here, and it has to be let in"
        found.append(Problem(("network", "bastion"), wrong, "Name its range too: `access: [192.0.2.7/32]`."))
    if network.access is None:
        return found
    if not network.access:
        fix = "Name ranges, as [192.0.2.0/24], or remove it to allow only this machine."
        found.append(Problem(("network", "access"), "it is empty: nobody could reach the Hub", fix))
    for (_, one), (place, other) in combinations(enumerate(network.access), 2):
        if one.overlaps(other):
            same = f"{other} is listed twice" if one == other else f"{other} overlaps {one}"
            found.append(Problem(("network", "access", place), same, "Keep the wider one."))
    for place, allowed in enumerate(network.access):
        if not network.existing and allowed.subnet_of(network.cidr):
            wrong = f"{allowed} lies inside network.cidr {network.cidr}"
            fix = "Access is for addresses outside the cluster: remove it, or choose another cidr."
            found.append(Problem(("network", "access", place), wrong, fix))
    return found


def _spark(spark: SparkModel) -> list[Problem]:
    found = []
    for key, value in spark.defaults.items():
        try:
            default_entry(key, value)
        except Wrong as error:
            found.append(Problem(("spark", "defaults", key), error.wrong, error.fix))
        if spark.packages and key in CLASS_PATHS:
            wrong = "it cannot be set beside spark.packages, whose jars are on this class path"
            found.append(Problem(("spark", "defaults", key), wrong, "Remove it, and name its jars in spark.packages."))
    return found


def _users(hub: HubModel) -> list[Problem]:
    if not hub.users and hub.login is None:
        fix = "Name at least one, as [alice], or remove the line for the default."
        return [Problem(("hub", "users"), "it is empty: nobody could log in", fix)]
    first: dict[str, int] = {}
    found = []
    for place, user in enumerate(hub.users):
        if user.name in first:
            wrong = f"{user.name!r} is listed twice (also hub.users[{first[user.name]}])"
            found.append(Problem(("hub", "users", place), wrong, "Keep one of the two."))
        first.setdefault(user.name, place)
    names = {user.name for user in hub.users}
    for place, user in enumerate(hub.users):
        for at, group in enumerate(user.groups):
            where: Path = ("hub", "users", place, "groups", at)
            if group in names:
                wrong = f"{group!r} is a user too, and each user has a group of that name alone"
                found.append(Problem(where, wrong, "Give the group another name."))
            if group in user.groups[:at]:
                found.append(Problem(where, f"{group!r} is listed twice", "Keep one of the two."))
    return found
