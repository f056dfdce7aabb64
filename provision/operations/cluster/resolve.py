"""What a cloud makes of a spec: names looked up, wishes checked against it. Reads only, and done before any change."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from provision.adapters import net
from provision.base.errors import UsageError
from provision.model.cluster import plan as planning
from provision.model.cluster.plan import DesiredState
from provision.model.cluster.quota import shortage
from provision.model.cluster.sizing import size

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Network

    from provision.adapters.openstack.cloud import Cloud, External
    from provision.base.model import ClusterSpec, Flavor, Sizing
    from provision.model.cluster.plan import Plan
    from provision.model.cluster.resources import ObservedCluster

GOLDEN: Final = "golden"


@dataclass(frozen=True, slots=True)
class ResolvedSpec:
    """A spec that the cloud can fulfil, and what it comes to there."""

    spec: ClusterSpec
    source: str
    flavors: Mapping[str, Flavor]
    sizing: Sizing
    external: External
    access: tuple[IPv4Network, ...]
    image: str
    """The image's id; empty while the golden image is not on the cloud."""

    def desired_state(self, public_key: str, image: str = "", *, refresh: bool = False) -> DesiredState:
        """Say what the plan has to reach; `image` is the golden image's id once it is known.

        `refresh`: nodes of an older golden image have to go.
        """
        spec = self.spec
        certificate = spec.hub.tls.cert.read_text() if spec.hub.tls else ""
        return DesiredState(
            name=spec.name,
            cidr=str(spec.network.cidr),
            external=self.external.id,
            rules=planning.wanted_rules(spec, self.access),
            image=image or self.image,
            public_key=public_key,
            master_flavor=spec.master.flavor,
            worker_flavor=spec.workers.flavor,
            count=spec.workers.count,
            spec=planning.spec_hash(spec, self.sizing, certificate),
            same_image=refresh or spec.image != GOLDEN,
            source=self.source,
        )


def used_image(seen: ObservedCluster) -> str:
    """Return the image that a cluster's nodes run, so that new ones fit to them; empty when there are no nodes."""
    return next((server.image for server in seen.nodes if server.image), "")


def resolve(cloud: Cloud, spec: ClusterSpec, seen: ObservedCluster, source: str) -> ResolvedSpec:
    """Check everything in a spec that only the cloud can judge; raises UsageError with the field."""
    flavors = cloud.flavors()
    sizing = size(spec, flavors, source)
    external = cloud.external(spec.network.external)
    if external is None:
        known = ", ".join(cloud.externals()) or "none"
        raise UsageError(
            f"{source}: network.external: cloud {spec.cloud!r} has no external network {spec.network.external!r}",
            f"It has: {known}.",
        )
    for taken in external.ranges:
        if taken.overlaps(spec.network.cidr):
            raise UsageError(
                f"{source}: network.cidr: {spec.network.cidr} overlaps {taken} of external network "
                f"{spec.network.external!r}: nodes could not reach it",
                "Choose another range for the cluster.",
            )
    image = "" if spec.image == GOLDEN else _image(cloud, spec, source)
    return ResolvedSpec(spec, source, flavors, sizing, external, _access(cloud, spec, external, seen, source), image)


def check_room(cloud: Cloud, found: ResolvedSpec, plan: Plan) -> None:
    """Refuse a plan that the project's quotas cannot hold; raises UsageError."""
    short = shortage(plan, found.spec, found.flavors, cloud.room())
    if short:
        raise UsageError(
            f"{found.source}: workers.count: the quota of this project is too small: {'; '.join(short)}",
            "Ask for fewer workers or smaller flavors, remove what is not needed, or have the quota raised.",
        )


def _image(cloud: Cloud, spec: ClusterSpec, source: str) -> str:
    found = cloud.image(spec.image)
    if found is None:
        raise UsageError(
            f"{source}: image: cloud {spec.cloud!r} has no image {spec.image!r}",
            "Use `image: golden`, or a name or id that `openstack image list` shows.",
        )
    return found


def _target(cloud: Cloud, external: External, seen: ObservedCluster) -> str:
    """Choose an address of the cloud to look at: where the Hub is or will be, or else where the cloud's API is."""
    floating = next((one.address for one in seen.floatings), "")
    return floating or external.gateway or net.address_of(cloud.host()) or ""


def _access(
    cloud: Cloud, spec: ClusterSpec, external: External, seen: ObservedCluster, source: str
) -> tuple[IPv4Network, ...]:
    """Find who is let in: the spec's ranges, or this machine as the cloud sees it."""
    target = _target(cloud, external, seen)
    own = net.source_address(target) if target else None
    if own is None:
        raise UsageError(
            f"{source}: network.external: this machine has no route to {target or cloud.host()}, where "
            f"{spec.network.external!r} is",
            "`provision up` waits for the Hub there: connect this machine to that network.",
        )
    address = ipaddress.IPv4Address(own)
    # Behind address translation the cloud sees another address than the one this machine knows.
    translated = address.is_private and not ipaddress.IPv4Address(target).is_private
    if spec.network.access is not None:
        if not translated and not any(address in allowed for allowed in spec.network.access):
            raise UsageError(
                f"{source}: network.access: this machine is {own} towards the cloud and is not let in, so `up` could "
                "not see the cluster form",
                f"Add {own}/32.",
            )
        return spec.network.access
    if translated:
        raise UsageError(
            f"{source}: network.access: this machine is {own}, behind address translation, and cannot know which "
            "address the cloud sees",
            "Name the ranges that may reach the Hub: network: {access: [your public address/32]}",
        )
    return (ipaddress.IPv4Network(f"{own}/32"),)
