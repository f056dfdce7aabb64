"""What a spec may name that was there before the cluster, found by name or id. It is used, and never changed."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

from provision.adapters.openstack.extensions import PORT_SECURITY, Extensions
from provision.adapters.openstack.session import retry_transient
from provision.base.ahead import askable
from provision.base.errors import UsageError
from provision.model.cluster import resources
from provision.model.image.recipe import HASH_PROPERTY, SERVER_PROPERTY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Image:
    """An image on the cloud; `min_disk` in GiB and `size` in bytes are what a flavor's disk has to hold."""

    id: str
    min_disk: int = 0
    size: int = 0
    golden: bool = False
    """Whether it has the mark of a golden image."""
    snapshot: bool = False
    """Whether that one is a snapshot of a stock image's server."""
    min_ram: int = 0
    """MiB of memory that a flavor has to have."""

    @property
    def least_disk(self) -> int:
        """GiB that a flavor's disk has to have."""
        return max(self.min_disk, -(-self.size // (1 << 30)), 1)


@dataclass(frozen=True, slots=True)
class ExistingSubnet:
    """An IPv4 subnet of a network that is there, on which servers may be."""

    id: str
    cidr: IPv4Network
    name: str = ""


@dataclass(frozen=True, slots=True)
class ExistingNetwork:
    """A network that is there, with its IPv4 subnets."""

    id: str
    subnets: tuple[ExistingSubnet, ...] = ()
    port_security: bool = True
    """Whether security groups have an effect on it."""


@dataclass(frozen=True, slots=True)
class ExistingRouter:
    """A router that is there."""

    id: str
    external: str = ""
    """Id of the external network that it leads to; empty: none."""


@dataclass(frozen=True, slots=True)
class ExistingGroup:
    """A security group that is there, which this project may use."""

    id: str
    name: str
    shared: bool = False
    """Whether it is another project's."""


class Existing(Extensions):
    """Questions for what is there."""

    @askable
    @retry_transient
    def image(self, name: str) -> Image | None:
        """Find an active image by id or name; None when there is none.

        Raises UsageError when the name fits several, or only one that no server can be made of.
        """
        from openstack import exceptions as sdk

        images = self.connection.image
        with self.asking("looking for the image"):
            # A private image of another project, which an administrator sees, is not meant for this one.
            found = [item for item in images.images(name=name) if item.visibility != "private" or self._ours(item)]
            if not found:
                try:
                    found = [images.get_image(name)]
                except (sdk.NotFoundException, sdk.BadRequestException):
                    return None
        found = [item for item in found if item.status == "active"] or found
        if len(found) > 1:
            raise UsageError(f"image: several images are called {name!r}", "Give the id instead.")
        item = found[0]
        if item.status != "active":
            raise UsageError(
                f"image: {name!r} is {item.status}, and servers can be made of active images alone",
                "Wait until it is whole, have it activated, or name one that `openstack image list --status active` "
                "shows.",
            )
        properties = item.properties or {}
        return Image(
            str(item.id),
            min_disk=int(item.min_disk or 0),
            size=int(item.virtual_size or item.size or 0),
            golden=HASH_PROPERTY in properties,
            snapshot=SERVER_PROPERTY in properties,
            min_ram=int(item.min_ram or 0),
        )

    @askable
    @retry_transient
    def network(self, name: str) -> ExistingNetwork | None:
        """Find a network that this project may use. Raises UsageError when the name fits several."""
        network = self.connection.network
        with self.asking("looking for the network"):
            found = _one("network.existing", "networks", name, network.networks)
            if found is None:
                return None
            subnets = [
                ExistingSubnet(str(each.id), IPv4Network(each.cidr), str(each.name or ""))
                for each in network.subnets(network_id=found.id)
                if each.ip_version == 4 and _takes_servers(each)
            ]
        # The SDK says False too of a network on a cloud that knows no port security: groups have an effect there.
        secured = found.is_port_security_enabled is not False or PORT_SECURITY not in self.extensions()
        return ExistingNetwork(str(found.id), tuple(subnets), secured)

    @retry_transient
    def networks(self) -> tuple[str, ...]:
        """Name the networks that servers of this project can be put on."""
        with self.asking("listing networks"):
            return tuple(sorted({str(found.name) for found in self.connection.network.networks()}))

    @askable
    @retry_transient
    def router(self, name: str) -> ExistingRouter | None:
        """Find a router. Raises UsageError when the name fits several."""
        with self.asking("looking for the router"):
            found = _one("network.router", "routers", name, self.connection.network.routers)
        if found is None:
            return None
        return ExistingRouter(str(found.id), str((found.external_gateway_info or {}).get("network_id") or ""))

    @retry_transient
    def subnet_ranges(self) -> tuple[IPv4Network, ...]:
        """List the IPv4 ranges of all subnets that this project sees."""
        with self.asking("listing subnets"):
            return tuple(IPv4Network(each.cidr) for each in self.connection.network.subnets(ip_version=4))

    @askable
    @retry_transient
    def floating(self, address: str) -> resources.Floating | None:
        """Find a floating IP of this project by its address."""
        with self.asking("looking for the floating IP"):
            found = [each for each in self.connection.network.ips(floating_ip_address=address) if self._ours(each)]
        if not found:
            return None
        return resources.Floating(str(found[0].id), address=address, port=found[0].port_id or "", marked=False)

    @askable
    @retry_transient
    def security_groups(self) -> tuple[ExistingGroup, ...]:
        """List the security groups that this project may use: its own, and those that others share with it."""
        with self.asking("listing security groups"):
            groups = [*self.connection.network.security_groups()]
        # An administrator sees everybody's.
        mine = [each for each in groups if self._ours(each) or each.is_shared]
        return tuple(ExistingGroup(str(each.id), str(each.name), shared=not self._ours(each)) for each in mine)

    @askable
    @retry_transient
    def server_groups(self) -> tuple[resources.ServerGroup, ...]:
        """List the server groups of this project."""
        with self.asking("listing server groups"):
            return tuple(self._server_groups())

    def _server_groups(self) -> Iterator[resources.ServerGroup]:
        for each in self.connection.compute.server_groups():
            if self._ours(each):
                policy = each.policy or next(iter(each.policies or ()), "")
                yield resources.ServerGroup(str(each.id), str(each.name), policy, frozenset(each.member_ids or ()))

    @askable
    @retry_transient
    def key_pairs(self) -> dict[str, str]:
        """Return the public keys of this user's key pairs, by their names."""
        with self.asking("listing key pairs"):
            return {str(each.name): str(each.public_key).strip() for each in self.connection.compute.keypairs()}

    def _ours(self, item: Any) -> bool:  # noqa: ANN401 - the SDK's resources have no common typed shape
        """Whether a resource is the current project's. Clouds ignore filters that they do not know."""
        owner = getattr(item, "project_id", None) or getattr(item, "owner_id", None)
        return not owner or owner == self.connection.current_project_id


def _takes_servers(subnet: Any) -> bool:  # noqa: ANN401
    """Whether servers get addresses of a subnet: some are for routers' gateways or floating IPs alone."""
    kinds = subnet.service_types or ()
    return not kinds or any(kind.startswith("compute:") for kind in kinds)


def _one(field: str, kind: str, name: str, listed: Callable[..., Iterable[Any]]) -> Any | None:  # noqa: ANN401
    found = [*listed(name=name)] or [*listed(id=name)]
    if len(found) > 1:
        raise UsageError(
            f"{field}: {len(found)} {kind} are called {name!r}",
            f"Give the id of one instead of the name: {', '.join(sorted(str(each.id) for each in found))}.",
        )
    return found[0] if found else None
