"""Check a spec against its cloud, and look up the names in it. This only reads, and comes before any change."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provision.adapters import net
from provision.adapters.cluster_dir import ClusterDir
from provision.adapters.host.certificates import valid_until
from provision.adapters.openstack.cloud import Cloud, External, Image
from provision.base.errors import UsageError
from provision.base.model import Addresses
from provision.clusterfile.loading import DEFAULT_SOURCE
from provision.model.cluster import example
from provision.model.cluster.network_steps import wanted_rules
from provision.model.cluster.plan import spec_hash
from provision.model.cluster.quota import GROUP_MEMBERS, arithmetic, needs, shortage
from provision.model.cluster.render import fitting_user_data, login_settings, node_context, packed
from provision.model.cluster.resources import fingerprint, role_of, users_hash
from provision.model.cluster.sizing import size
from provision.model.cluster.steps import DesiredState, Step
from provision.model.image.recipe import HASH_PROPERTY
from provision.model.image.snapshot import DISK
from provision.operations.cluster.existing import (
    ThingsThere,
    asked_groups,
    check_zones,
    find_existing,
    find_of_live,
    names_file,
)
from provision.operations.packages.resolution import request

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Network

    from provision.base.model import CloudProject, ClusterSpec, Flavor, Role, Sizing, Spread
    from provision.model.cluster.resources import ObservedCluster
    from provision.model.cluster.steps import Plan

POLICIES: Final[dict[Spread, str]] = {"off": "", "prefer": "soft-anti-affinity", "require": "anti-affinity"}
"""Policies of the server group that workers.spread makes."""
_QUOTA_FIELDS: Final = {
    "networks": "network",
    "subnets": "network",
    "routers": "network.router",
    "floating IPs": "network.floating_ip",
    "server groups": "workers.spread",
    GROUP_MEMBERS: "workers.count",
}
"""Fields by which less of a resource is asked for; for others that is workers.count."""


@dataclass(frozen=True, slots=True)
class ResolvedSpec:
    """A spec that its cloud can fulfil, with the cloud's ids and sizes for it."""

    spec: ClusterSpec
    source: str
    """The spec's file, as errors name it."""
    flavors: Mapping[str, Flavor]
    sizing: Sizing
    external: External
    """Its id is empty where the cluster needs none."""
    access: tuple[IPv4Network, ...]
    """The ranges that may reach the cluster."""
    image: str
    """The image's id; empty for the golden image."""
    there: ThingsThere = field(default_factory=ThingsThere)
    login_secret: str = ""
    """What the Hub shows to the login server of hub.login."""

    def desired_state(self, image: str = "", *, refresh: bool = False) -> DesiredState:
        """Return the state that the plan has to reach; `image` is the golden image's id once it is known.

        `refresh`: replace nodes of an older golden image.
        """
        spec = self.spec
        certificate = spec.hub.tls.cert.read_text() if spec.hub.tls else ""
        login = json.dumps([login_settings(spec.hub), self.login_secret]) if spec.hub.login else ""
        return DesiredState(
            name=spec.name,
            cidr=str(spec.network.cidr),
            external=self.external.id,
            rules=wanted_rules(spec, self.access),
            network=self.there.network,
            subnet=self.there.subnet,
            own_ports=self.there.own_ports,
            has_port_security=self.there.port_security,
            security_groups=self.there.security_groups,
            router=self.there.router,
            nameservers=spec.network.nameservers,
            has_floating=bool(spec.network.floating_ip),
            floating=self.there.floating,
            floating_address="" if isinstance(spec.network.floating_ip, bool) else spec.network.floating_ip,
            image=image or self.image,
            master_flavor=spec.master.flavor,
            worker_flavor=spec.workers.flavor,
            hub_flavor=spec.hub.node.flavor if spec.hub.node else "",
            master_zone=spec.master.zone,
            hub_zone=spec.hub_node.zone,
            worker_zone=spec.workers.zone,
            policy=POLICIES[spec.workers.spread],
            master_group=self.there.master_group,
            hub_group=self.there.hub_group,
            worker_group=self.there.worker_group,
            count=spec.workers.count,
            spec=spec_hash(spec, self.sizing, certificate, login),
            packages=request(spec.packages),
            same_image=refresh or not spec.image.baked,
            users=tuple(user.name for user in spec.hub.users),
            accounts=users_hash(spec.hub.users),
            certificate="" if spec.hub.tls else valid_until(),
            origin=Path(self.source).name if self.source != DEFAULT_SOURCE else "",
            source=self.source,
        )


def find_cluster_dir(cloud: Cloud, name: str) -> ClusterDir:
    """Return the cluster's folder on this machine, which need not exist."""
    return ClusterDir.at(name, cloud.place(), lambda: cloud.key(name))


def ask_ahead(cloud: Cloud, spec: ClusterSpec) -> None:
    """Ask the cloud at the same time what `observe` and `resolve` are going to ask for one after the other."""
    network = spec.network
    cloud.ask_ahead(Cloud.observe, spec.name, spec.workers.count)
    cloud.ask_ahead(Cloud.flavors)
    if network.existing:
        cloud.ask_ahead(Cloud.network, network.existing)
    if network.router:
        cloud.ask_ahead(Cloud.router, network.router)
    if isinstance(network.floating_ip, str):
        cloud.ask_ahead(Cloud.floating, network.floating_ip)
    if network.security_groups:
        cloud.ask_ahead(Cloud.security_groups)
    if any(asked_groups(spec).values()):
        cloud.ask_ahead(Cloud.server_groups)
    if spec.key_pair:
        cloud.ask_ahead(Cloud.key_pairs)
    if _needs_external(spec):
        cloud.ask_ahead(Cloud.external, network.external)
    if not spec.image.baked:
        cloud.ask_ahead(Cloud.image, spec.image.name)
    if spec.master.zone or spec.hub_node.zone or spec.workers.zone:
        cloud.ask_ahead(Cloud.zones)


def ask_ahead_of_live(cloud: Cloud, spec: ClusterSpec) -> None:
    """Ask the cloud at the same time what `observe` and `resolve_live` are going to ask for one after the other."""
    cloud.ask_ahead(Cloud.observe, spec.name, spec.workers.count)
    cloud.ask_ahead(Cloud.flavors)
    if spec.network.existing:
        cloud.ask_ahead(Cloud.network, spec.network.existing)
    if spec.key_pair:
        cloud.ask_ahead(Cloud.key_pairs)


def check_ownership(cluster_dir: ClusterDir, observed: ObservedCluster, place: CloudProject) -> None:
    """Raise UsageError when the cluster on the cloud was created with keys that this machine does not have."""
    own = cluster_dir.public_key()
    print_of_own = fingerprint(own)
    foreign = any(key.public_key != own for key in observed.keys)
    # Nova shows a user's own key pairs only, so servers carry a fingerprint.
    foreign = foreign or any(server.key not in ("", print_of_own) for server in observed.servers)
    kept = cluster_dir.place()
    if observed and (foreign or not own or (kept and not kept.same(place))):
        raise UsageError(
            f"cluster {cluster_dir.name} is on the cloud, but its keys are not in {cluster_dir.folder}",
            "It was made on another machine or by another user: copy that folder here, or give yours another name. "
            "`provision down --foreign` removes it all the same.",
        )


def made_from_another_error(name: str, file: str) -> UsageError:
    """Return what the default spec gets where the cluster was made from a file."""
    return UsageError(
        f"cluster {name} was made from {file}, and this is {DEFAULT_SOURCE}",
        "Nothing was changed. Run it where that file is, or name it with -f.",
    )


def used_image(observed: ObservedCluster) -> str:
    """Return the image of a cluster's nodes, so that new ones get the same; empty when there are no nodes."""
    return next((server.image for server in observed.nodes if server.image), "")


def resolve(cloud: Cloud, spec: ClusterSpec, observed: ObservedCluster, source: str) -> ResolvedSpec:
    """Check everything in a spec that depends on the cloud. Raises UsageError that names the field."""
    _refuse_without_marks(cloud, spec, observed, source)
    flavors = cloud.flavors()
    _refuse_retired(spec, flavors, observed, source)
    sizing = size(spec, flavors, source)
    with names_file(source):
        there, spec = find_existing(cloud, spec, observed)
        check_zones(cloud, spec)
    external = _find_external(cloud, spec, source) if _needs_external(spec) else External("")
    if there.router and external.id not in {"", there.router_external}:
        raise UsageError(
            f"{source}: network.router: {spec.network.router!r} does not lead to network.external, "
            f"{spec.network.external!r}, from which the floating IP comes",
            f"It leads to {there.router_external}: write that as network.external, or name another router.",
        )
    image = Image("") if spec.image.baked else _find_image(cloud, spec, source)
    _refuse_small_flavors(spec, flavors, image, source)
    access = _find_access(cloud, spec, external, observed, source)
    secret = find_cluster_dir(cloud, spec.name).login_secret(spec.hub.login) if spec.hub.login else ""
    # Those of servers that are replaced give back their part of the quota.
    flavors = {**_sizes(observed), **flavors}
    return ResolvedSpec(spec, source, flavors, sizing, external, access, image.id, there, secret)


def resolve_live(cloud: Cloud, spec: ClusterSpec, observed: ObservedCluster, source: str) -> ResolvedSpec:
    """Resolve the spec of a cluster whose nodes are there, to reach them: no plan can be made of it.

    What nodes are made of need not be there any more: image, flavors, external network, availability zones, key pair.
    Raises UsageError that names the field.
    """
    flavors = {**_sizes(observed), **cloud.flavors()}
    sizing = size(spec, flavors, source)
    with names_file(source):
        spec = find_of_live(cloud, spec, observed)
    nowhere = External("")
    access = _find_access(cloud, spec, nowhere, observed, source)
    secret = find_cluster_dir(cloud, spec.name).login_secret(spec.hub.login) if spec.hub.login else ""
    return ResolvedSpec(spec, source, flavors, sizing, nowhere, access, image="", login_secret=secret)


def resolve_without_cloud(spec: ClusterSpec, source: str, flavors: Iterable[Flavor]) -> ResolvedSpec:
    """Resolve a spec as far as that is possible without its cloud; flavors not listed have an example's size."""
    return ResolvedSpec(
        spec=spec,
        source=source,
        flavors={flavor.name: flavor for flavor in flavors},
        sizing=example.sizing(spec, source, flavors),
        external=External(""),
        access=spec.network.access or (),
        image="",
    )


def check_quota(cloud: Cloud, resolved: ResolvedSpec, plan: Plan, observed: ObservedCluster) -> str:
    """Say what a plan takes of the project's quotas; empty where they limit nothing. Raises UsageError if too much."""
    need, room = needs(plan, resolved.desired_state(), resolved.flavors, observed), cloud.room()
    if short := shortage(need, room):
        where = next((_QUOTA_FIELDS[what] for what in short if what in _QUOTA_FIELDS), "workers.count")
        raise UsageError(
            f"{resolved.source}: {where}: the quota of this project is too small: {'; '.join(short.values())}",
            "Ask for less or use what is there, remove what is not needed, or have the quota raised.",
        )
    return arithmetic(need, room)


def fit_user_data(resolved: ResolvedSpec, plan: Plan) -> Plan:
    """Return the plan with a step that makes the users' accounts where their node's user-data has no room for them.

    No more workers are created in one request than their user-data lets Nova hand on. Raises UsageError when the
    user-data of servers that it creates would be larger than Nova takes all the same.
    """
    created = [name for step in plan.of("create") if step.kind == "server" for name in step.ids]
    if not created:
        return plan
    roles: set[Role] = {role_of(resolved.spec.name, name) for name in created}
    chain = resolved.spec.hub.tls.cert.read_text() if resolved.spec.hub.tls else ""
    secrets = example.secrets_of_full_size(resolved.spec, chain)
    longest = str(resolved.spec.network.cidr.broadcast_address)
    addresses = Addresses(longest, "255.255.255.255", longest if resolved.spec.hub.node else "")
    crowded: set[Role] = set()
    for role in sorted(roles):
        try:
            text, accounts = fitting_user_data(node_context(resolved.spec, resolved.sizing, addresses, secrets, role))
        except UsageError as error:
            raise UsageError(f"{resolved.source}: {error.message}", error.hint) from None
        if role == "worker":
            plan = plan.within_message(len(packed(text)))
        if not accounts:
            crowded.add(role)
    later = [
        Step("configure", "server", name, "its user-data has no room for hub.users", (name,))
        for name in created
        if role_of(resolved.spec.name, name) in crowded
    ]
    before = tuple(step for step in plan.steps if step.verb != "restore")
    # Files that are restored belong to these accounts.
    return replace(plan, steps=(*before, *later, *plan.of("restore")))


def _refuse_without_marks(cloud: Cloud, spec: ClusterSpec, observed: ObservedCluster, source: str) -> None:
    """Refuse a cloud on which nothing that `up` makes would be found again; one that holds marks has them."""
    if not (observed.networks or observed.ports or cloud.has_marks()):
        raise UsageError(
            f"{source}: cloud: networks and ports of {spec.cloud!r} have no descriptions, by which a cluster's own are "
            "known",
            "Use a cloud whose Neutron has the extension `standard-attr-description`: OpenStack Mitaka or later.",
        )


def _needs_external(spec: ClusterSpec) -> bool:
    """Whether a floating IP or a router is made on the external network."""
    return spec.network.floating_ip is True or not (spec.network.existing or spec.network.router)


def _find_external(cloud: Cloud, spec: ClusterSpec, source: str) -> External:
    with names_file(source):
        external = cloud.external(spec.network.external)
    if external is None:
        known = ", ".join(cloud.externals()) or "none"
        raise UsageError(
            f"{source}: network.external: cloud {spec.cloud!r} has no external network {spec.network.external!r}",
            f"It has: {known}.",
        )
    for taken in external.ranges:
        if taken.overlaps(spec.network.cidr) and not (spec.network.existing and taken == spec.network.cidr):
            raise UsageError(
                f"{source}: network.cidr: {spec.network.cidr} overlaps {taken} of external network "
                f"{spec.network.external!r}: nodes could not reach it",
                "Choose another range for the cluster.",
            )
    return external


def _find_image(cloud: Cloud, spec: ClusterSpec, source: str) -> Image:
    name = spec.image.name
    with names_file(source):
        image = cloud.image(name)
    if image is None:
        raise UsageError(
            f"{source}: image: cloud {spec.cloud!r} has no image {name!r}",
            "Use `image: golden`, or a name or id that `openstack image list` shows.",
        )
    if image.golden and spec.image.stock:
        raise UsageError(
            f"{source}: image.stock: {name!r} is a golden image: everything is in it", f"Write `image: {name}`."
        )
    if image.snapshot and spec.hub.limits.disk_mib is not None:
        raise UsageError(
            f"{source}: hub.limits.disk: image {name!r} is a snapshot of a stock image, whose file system does not "
            "count what its users have",
            "Remove it, or use `image: golden`.",
        )
    if not image.golden and not spec.image.stock:
        raise UsageError(
            f"{source}: image: {name!r} is no golden image: it lacks the property {HASH_PROPERTY}",
            f"For a vendor's image write `image: {{name: {name}, stock: true}}`. If it is a golden image that was "
            f"uploaded by hand: `openstack image set --property {HASH_PROPERTY}=by-hand {name}`.",
        )
    return replace(image, min_disk=max(image.min_disk, DISK)) if spec.image.stock else image


def _sizes(observed: ObservedCluster) -> dict[str, Flavor]:
    """Return the flavors of servers by name, as far as the cloud says what they were when these were made."""
    return {server.size.name: server.size for server in observed.servers if server.size}


def _refuse_retired(spec: ClusterSpec, flavors: Mapping[str, Flavor], observed: ObservedCluster, source: str) -> None:
    """Refuse a flavor that nodes have, and that the cloud does not offer any more."""
    for where, name in spec.flavors:
        having = next((server.name for server in observed.nodes if server.flavor == name), "")
        if having and name not in flavors:
            raise UsageError(
                f"{source}: {where}: the cloud has retired flavor {name!r}: {having} has it still, and no other node "
                "can be made of it",
                "Every command but `up` goes on with the nodes that have it. For `up`, name another flavor: with "
                f"--replace it makes the nodes anew, and carries people's files over. It has: "
                f"{', '.join(sorted(flavors)) or 'none'}.",
            )


def _refuse_small_flavors(spec: ClusterSpec, flavors: Mapping[str, Flavor], image: Image, source: str) -> None:
    """Refuse a flavor without a disk of its own, or with a disk or memory that is less than the image needs."""
    disk, ram = image.least_disk, image.min_ram
    fit = sorted(flavor.name for flavor in flavors.values() if flavor.disk >= disk and flavor.ram >= ram)
    for where, name in spec.flavors:
        flavor = flavors[name]
        if flavor.disk < disk:
            has = f"a disk of {flavor.disk} GiB, and image {spec.image.name!r} needs {disk}"
            has = f"{has if flavor.disk else 'no disk of its own'}; nodes do not boot from volumes"
            more, least = "a larger disk", f"{disk} GiB"
        elif flavor.ram < ram:
            has = f"{flavor.ram} MiB of memory, and image {spec.image.name!r} needs {ram}"
            more, least = "more memory", f"{ram} MiB"
        else:
            continue
        raise UsageError(
            f"{source}: {where}: {name} has {has}",
            f"Choose one with {more}: {', '.join(fit[:5]) or f'the cloud has none with {least}'}.",
        )


def _target(cloud: Cloud, spec: ClusterSpec, external: External, observed: ObservedCluster) -> str:
    """Return the Hub's address, or one near where it will be, or else the address of the cloud's API."""
    if observed.address:
        return observed.address
    if isinstance(spec.network.floating_ip, str):
        return spec.network.floating_ip
    near = external.gateway if spec.network.floating_ip else str(spec.network.cidr[1])
    return near or net.address_of(cloud.host()) or ""


def _find_access(
    cloud: Cloud, spec: ClusterSpec, external: External, observed: ObservedCluster, source: str
) -> tuple[IPv4Network, ...]:
    """Return the ranges that are let in: the spec's, or this machine's address as the cloud sees it."""
    if spec.network.bastion and spec.network.access is not None:
        # The way there is its; where it comes from is not known here.
        return spec.network.access
    target = _target(cloud, spec, external, observed)
    own = net.source_address(target) if target else None
    if own is None:
        where = "external" if external.id else "existing" if spec.network.existing else "cidr"
        raise UsageError(
            f"{source}: network.{where}: this machine has no route to {target or cloud.host()}, where the Hub will be",
            "`provision up` waits for the Hub there: connect this machine to that network.",
        )
    address = ipaddress.IPv4Address(own)
    # Behind address translation the cloud sees another address than the one this machine knows. Providers' own
    # (100.64.0.0/10) is neither private nor global.
    translated = not address.is_global and ipaddress.IPv4Address(target).is_global
    if spec.network.access is not None:
        if not translated and not any(address in allowed for allowed in spec.network.access):
            raise UsageError(
                f"{source}: network.access: this machine is {own} towards the cloud and is not let in, so `up` could "
                "not see when the cluster is ready",
                f"Add {own}/32.",
            )
        return spec.network.access
    if translated:
        raise UsageError(
            f"{source}: network.access: this machine is {own}, behind address translation, and cannot know which "
            "address the cloud sees",
            "Name the ranges that may reach the Hub: `network: {access: [your public address/32]}`.",
        )
    return (ipaddress.IPv4Network(f"{own}/32"),)
