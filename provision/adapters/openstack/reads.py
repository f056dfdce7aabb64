"""Questions to a cloud: what it offers, and what it holds of a cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from provision.adapters.openstack.session import Session, retry_transient
from provision.base.errors import UsageError
from provision.base.model import Flavor
from provision.model.cluster import resources
from provision.model.cluster.resources import NODES, ObservedCluster, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openstack.connection import Connection

    from provision.base.model import Role


@dataclass(frozen=True, slots=True)
class External:
    """An external network. Its ranges and gateway are empty where this user may not see them."""

    id: str
    ranges: tuple[IPv4Network, ...] = ()
    gateway: str = ""


class Reads(Session):
    """Questions to the cloud."""

    def __init__(self, name: str, connection: Connection) -> None:
        super().__init__(name, connection)
        self._flavors: dict[str, Flavor] = {}

    # --- what the cloud offers ---

    def flavor_id(self, name: str) -> str:
        """Return the id of an existing flavor."""
        self.flavors()
        return next(key for key, flavor in self._flavors.items() if flavor.name == name)

    @retry_transient
    def flavors(self) -> Mapping[str, Flavor]:
        """Return the flavors by name."""
        with self.asking("listing flavors"):
            if not self._flavors:
                self._flavors = {
                    item.id: Flavor(item.name, item.vcpus, item.ram, item.disk)
                    for item in self.connection.compute.flavors(details=True)
                }
        return {flavor.name: flavor for flavor in self._flavors.values()}

    @retry_transient
    def image(self, name: str) -> str | None:
        """Find an image by name or id; None when there is none. Raises UsageError when the name fits several."""
        from openstack import exceptions as sdk

        with self.asking("looking for the image"):
            try:
                found = self.connection.image.find_image(name, ignore_missing=True)
            except sdk.DuplicateResource:
                raise UsageError(f"image: several images are called {name!r}", "Give the id instead.") from None
        return None if found is None else str(found.id)

    @retry_transient
    def external(self, name: str) -> External | None:
        """Find an external network by name or id."""
        network = self.connection.network
        with self.asking("looking for the external network"):
            for found in network.networks(is_router_external=True):
                if name in (found.name, found.id):
                    subnets = [one for one in network.subnets(network_id=found.id) if one.ip_version == 4]
                    ranges = tuple(IPv4Network(one.cidr) for one in subnets)
                    gateway = next((str(one.gateway_ip) for one in subnets if one.gateway_ip), "")
                    return External(str(found.id), ranges, gateway)
        return None

    @retry_transient
    def externals(self) -> tuple[str, ...]:
        """Name the external networks."""
        with self.asking("listing external networks"):
            return tuple(str(found.name) for found in self.connection.network.networks(is_router_external=True))

    def host(self) -> str:
        """Return the host name or address of the cloud's own API."""
        return str(urlsplit(self.connection.config.get_auth_args().get("auth_url", "")).hostname or "")

    @retry_transient
    def room(self) -> dict[str, int]:
        """Return what the quotas still allow, by resource; unlimited and hidden ones are left out."""
        left: dict[str, int] = {}
        with self.asking("reading quotas"):
            limits = self.connection.compute.get_limits().absolute
        for name, limit, used in (
            ("instances", limits.instances, limits.instances_used),
            ("cores", limits.total_cores, limits.total_cores_used),
            ("RAM (MiB)", limits.total_ram, limits.total_ram_used),
        ):
            if limit is not None and limit >= 0:
                left[name] = int(limit) - int(used or 0)
        return left | self._network_room()

    def _network_room(self) -> dict[str, int]:
        from openstack import exceptions as sdk

        names = ("network", "subnet", "router", "port", "floatingip", "security_group", "security_group_rule")
        with self.asking("reading network quotas"):
            try:
                project = self.connection.current_project_id
                answer = self.connection.network.get(f"/quotas/{project}/details")
                sdk.raise_from_response(answer)
            except (sdk.ForbiddenException, sdk.NotFoundException):
                return {}  # many clouds show these to administrators only
            quotas = answer.json().get("quota", {})
        room = {}
        for name in names:
            limit = quotas.get(name, {})
            if int(limit.get("limit", -1)) >= 0:
                room[f"{name}s".replace("_", " ")] = limit["limit"] - limit.get("used", 0) - limit.get("reserved", 0)
        return room

    # --- what the cloud holds ---

    @retry_transient
    def observe(self, name: str) -> ObservedCluster:
        """Find everything that belongs to the cluster `name`, in a constant number of requests."""
        from openstack import exceptions as sdk

        mark = resources.mark(name)
        tags = set(resources.tags(name))
        network, compute = self.connection.network, self.connection.compute

        def base(item: Any) -> dict[str, Any]:  # noqa: ANN401 - the SDK's resources have no common typed shape
            return {"id": item.id, "name": item.name or "", "tagged": tags <= set(item.tags or [])}

        def ours(items: Iterable[Any]) -> list[Any]:
            # A cloud that ignores the filter returns everybody's resources: they must not be taken for ours.
            return [item for item in items if item.description == mark]

        with self.asking("looking at what is there"):
            networks = ours(network.networks(description=mark))
            subnets = ours(network.subnets(description=mark))
            routers = ours(network.routers(description=mark))
            groups = ours(network.security_groups(description=mark))
            floatings = ours(network.ips(description=mark))
            ports = [port for one in networks for port in network.ports(network_id=one.id)]
            servers = self._servers(name)
            try:
                key = compute.find_keypair(resources.key_name(name), ignore_missing=True)
            except sdk.NotFoundException:
                key = None
        return ObservedCluster(
            networks=tuple(resources.Network(**base(one)) for one in networks),
            subnets=tuple(resources.Subnet(**base(one), cidr=one.cidr, network=one.network_id) for one in subnets),
            routers=tuple(
                resources.Router(**base(one), external=(one.external_gateway_info or {}).get("network_id", ""))
                for one in routers
            ),
            groups=tuple(resources.Group(**base(one), rules=_rules(one)) for one in groups),
            ports=tuple(_port(one, base(one), marked=one.description == mark) for one in ports),
            floatings=tuple(
                resources.Floating(**base(one), address=one.floating_ip_address, port=one.port_id or "")
                for one in floatings
            ),
            keys=() if key is None else (resources.KeyPair(key.name, " ".join(key.public_key.split()[:2])),),
            servers=servers,
        )

    def _servers(self, name: str) -> tuple[resources.Server, ...]:
        # Nova takes a regular expression here, but escapes groups and alternatives in it: so it is only a prefix.
        found = self.connection.compute.servers(details=True, name=f"^{name}-")
        mine = [one for one in found if (one.metadata or {}).get(resources.META_CLUSTER) == name]
        return tuple(self._server(one) for one in mine)

    def _server(self, one: Any) -> resources.Server:  # noqa: ANN401
        meta: dict[str, str] = one.metadata or {}
        role: Role = "master" if meta.get(resources.META_ROLE) == "master" else "worker"
        addresses = [
            entry["addr"]
            for entries in (one.addresses or {}).values()
            for entry in entries
            if entry.get("OS-EXT-IPS:type") == "fixed" and entry.get("version") == 4
        ]
        listed = one.flavor or {}
        flavor = listed.get("original_name") or listed.get("name")
        if not flavor:
            # Before microversion 2.47 a server names only its flavor's id.
            self.flavors()
            known = self._flavors.get(str(listed.get("id")))
            flavor = known.name if known else str(listed.get("id"))
        return resources.Server(
            id=one.id,
            name=one.name,
            role=role,
            status=one.status or "",
            deleting=one.task_state == "deleting" or one.status in ("DELETED", "SOFT_DELETED"),
            launched=bool(one.launched_at),
            address=addresses[0] if addresses else "",
            flavor=flavor,
            image=str((one.image or {}).get("id") or ""),
            spec=meta.get(resources.META_SPEC, ""),
            smoke_tested=meta.get(resources.META_SMOKE_TESTED, ""),
            floating=meta.get(resources.META_FLOATING, ""),
            fault=_one_line(str((one.fault or {}).get("message") or "")),
        )

    @retry_transient
    def servers(self, name: str) -> tuple[resources.Server, ...]:
        """Return the cluster's VMs."""
        with self.asking("listing servers"):
            return self._servers(name)

    @retry_transient
    def building(self, name: str) -> frozenset[str]:
        """Return the ids of the cluster's VMs that are still being built: the cheapest question that shows progress."""
        with self.asking("listing servers that are being built"):
            found = self.connection.compute.servers(details=False, name=f"^{name}-", status="BUILD", limit=1000)
            return frozenset(one.id for one in found)

    @retry_transient
    def console(self, server: str) -> str:
        """Return the console's text so far; empty while there is none."""
        from openstack import exceptions as sdk

        with self.asking("reading a console"):
            try:
                answer = self.connection.compute.get_server_console_output(server)
            except (sdk.ConflictException, sdk.NotFoundException):
                return ""
        return str((answer or {}).get("output") or "")


def _one_line(text: str) -> str:
    """Write a fault on one line, without markup: some carry a proxy's HTML page."""
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def _rules(group: Any) -> tuple[tuple[Rule | None, str], ...]:  # noqa: ANN401
    found: list[tuple[Rule | None, str]] = []
    for one in group.security_group_rules or []:
        if one["direction"] != "ingress":
            continue
        remote = one.get("remote_group_id")
        peer = NODES if remote == group.id else one.get("remote_ip_prefix") or "0.0.0.0/0"
        plain = one.get("protocol") == "tcp" and one.get("ethertype") == "IPv4" and remote in (None, group.id)
        ports = (one.get("port_range_min"), one.get("port_range_max"))
        rule = Rule(int(ports[0]), int(ports[1]), peer) if plain and None not in ports else None
        found.append((rule, one["id"]))
    return tuple(found)


def _port(one: Any, base: dict[str, Any], *, marked: bool) -> resources.Port:  # noqa: ANN401
    return resources.Port(
        **base,
        address=one.fixed_ips[0]["ip_address"] if one.fixed_ips else "",
        network=one.network_id,
        device=one.device_id or "",
        owner=one.device_owner or "",
        groups=tuple(one.security_group_ids or ()),
        marked=marked,
    )
