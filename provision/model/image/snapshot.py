"""A golden image by a snapshot: the spec of the one server that it is made of, and the plan that makes that server.

On the cloud it is a cluster without workers, with the marks of one: so what a bake that was killed leaves behind is
found as it is for clusters.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Final

from provision.base.constants import PORTS
from provision.base.errors import UsageError
from provision.base.model import HubSpec, ImageSpec, MasterSpec, PackagesSpec, SparkSpec, WorkersSpec
from provision.model.cluster.network_steps import access_steps, network_steps
from provision.model.cluster.resources import Rule, master_name
from provision.model.cluster.statuses import BUILDING
from provision.model.cluster.steps import Plan, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Literal

    from provision.base.model import ClusterSpec, Flavor
    from provision.model.cluster.resources import ObservedCluster, Server
    from provision.model.cluster.steps import DesiredState

NAME: Final = "image_bake"
"""Not a name that a cluster can have: none is taken for a bake, and no bake for a cluster."""
DISK: Final = 10
"""GiB that a stock image's node needs: the system, its software, and room to build Spark in."""
MEMORY: Final = 2000
"""MiB that the installation needs. Flavors of 2 GiB have somewhat less on some clouds."""


_BLOCKS: Final = ("192.168.240.0/20", "172.31.240.0/20", "10.255.240.0/20", "192.168.0.0/16", "172.16.0.0/12")


def bake_spec(
    spec: ClusterSpec, base: str, flavor: str, sources: Literal["image", "host"], cidr: IPv4Network | None = None
) -> ClusterSpec:
    """Return the spec of the server: on the cloud and network of `spec`, and in its availability zone.

    `cidr`: the range of its subnet, where that of `spec` may be in use. The cluster may have its floating IP, too.
    """
    floating_ip = bool(spec.network.floating_ip)
    return replace(
        spec,
        name=NAME,
        network=replace(spec.network, floating_ip=floating_ip, cidr=cidr or spec.network.cidr),
        image=ImageSpec(base, stock=True, sources=sources),
        key_pair="",
        public_key="",
        master=MasterSpec(flavor, spec.master.zone),
        workers=WorkersSpec(0, flavor),
        spark=SparkSpec(),
        hub=HubSpec(),
        packages=PackagesSpec(),
    )


def free_range(taken: Iterable[IPv4Network]) -> IPv4Network:
    """Return a range for a few addresses that overlaps none of these. Raises UsageError when there is none."""
    others = list(taken)
    for block in _BLOCKS:
        for found in IPv4Network(block).subnets(new_prefix=28):
            if not any(found.overlaps(other) for other in others):
                return found
    raise UsageError(
        "network.router: no range is free for the server, beside the subnets that this project sees",
        "Leave network.router out for the bake: then it makes a router of its own.",
    )


def smallest_flavor(flavors: Mapping[str, Flavor], min_disk: int, min_ram: int = 0) -> str:
    """Name the smallest flavor that does: clusters of the image need a disk that is no smaller.

    `min_disk` (GiB) and `min_ram` (MiB) are what the stock image asks for.

    Raises UsageError when there is none; flavors without a disk, whose servers boot from volumes, do not count.
    """
    needed = max(DISK, min_disk)
    memory = max(MEMORY, min_ram)
    fit = [flavor for flavor in flavors.values() if flavor.disk >= needed and flavor.ram >= memory]
    if not fit:
        raise UsageError(
            f"the cloud has no flavor with a disk of {needed} GiB of its own and {memory} MiB of RAM for the bake",
            "Flavors with a disk of 0 boot from volumes, of which no such image can be made. Have one made, or upload "
            "the image that `provision image bake` makes on your machine.",
        )
    return min(fit, key=lambda flavor: (flavor.disk, flavor.ram, flavor.vcpus, flavor.name)).name


def bake_rules(access: Sequence[IPv4Network]) -> frozenset[Rule]:
    """Return the security group's rules: nothing but SSH."""
    return frozenset(Rule(PORTS.ssh, PORTS.ssh, str(peer)) for peer in access)


def bake_plan(desired: DesiredState, observed: ObservedCluster) -> Plan:
    """Plan what is left to make of the server and of what it needs. One that is of no use any more is replaced."""
    going: list[Step] = []
    kept: list[Server] = []
    for server in observed.servers:
        if server.deleting:
            going.append(Step("wait", "server", server.name, "it is being deleted", (server.id,)))
        elif why := _useless(desired, server, observed) or ("there are two" if kept else ""):
            going.append(Step("delete", "server", server.name, why, (server.id,)))
        else:
            kept.append(server)
    name = master_name(desired.name)
    ids = {server for step in going for server in step.ids}
    coming = [] if kept else [Step("create", "server", name, "an image is made of it", (name,))]
    steps = [*going, *network_steps(desired, observed)]
    steps += access_steps(desired, observed, ids, [step.name for step in coming])
    return Plan(desired.name, (*steps, *coming))


def _useless(desired: DesiredState, server: Server, observed: ObservedCluster) -> str:
    """Return why no image can be made of a server; empty if one can."""
    if server.status == "ERROR":
        return f"it is in ERROR: {server.fault or 'the cloud gave no reason'}"
    if server.spec != desired.spec or server.image != desired.image:
        return "it was begun with other files or another image"
    if server.flavor != desired.master_flavor:
        return f"it is a {server.flavor}, and {desired.master_flavor} was asked for"
    if server.baked:
        return ""
    if server.status not in {"ACTIVE", *BUILDING}:
        # What it has done of its last step is not known, and its part for the first boot may be gone.
        return f"it is {server.status}, and was not ready"
    return "" if observed.master_port else "its port was removed, and its address with it"
