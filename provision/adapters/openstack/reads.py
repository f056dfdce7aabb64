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
    from pathlib import Path

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

    def __init__(self, name: str, connection: Connection, file: Path | None = None) -> None:
        super().__init__(name, connection, file)
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
        """Find an external network by name or id. Raises UsageError when the name fits several."""
        network = self.connection.network
        with self.asking("looking for the external network"):
            listed = list(network.networks(is_router_external=True))
            found = [each for each in listed if each.id == name] or [each for each in listed if each.name == name]
            if not found:
                return None
            if len(found) > 1:
                ids = ", ".join(sorted(str(each.id) for each in found))
                raise UsageError(
                    f"network.external: {len(found)} external networks are called {name!r}",
                    f"Give the id of one instead of the name: {ids}.",
                )
            subnets = [subnet for subnet in network.subnets(network_id=found[0].id) if subnet.ip_version == 4]
            ranges = tuple(IPv4Network(subnet.cidr) for subnet in subnets)
            gateway = next((str(subnet.gateway_ip) for subnet in subnets if subnet.gateway_ip), "")
            return External(str(found[0].id), ranges, gateway)

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
            ports = [port for network_ in networks for port in network.ports(network_id=network_.id)]
            servers = self._servers(name)
            try:
                key = compute.find_keypair(resources.key_name(name), ignore_missing=True)
            except sdk.NotFoundException:
                key = None
        return ObservedCluster(
            networks=tuple(resources.Network(**base(item)) for item in networks),
            subnets=tuple(resources.Subnet(**base(item), cidr=item.cidr, network=item.network_id) for item in subnets),
            routers=tuple(
                resources.Router(**base(item), external=(item.external_gateway_info or {}).get("network_id", ""))
                for item in routers
            ),
            groups=tuple(resources.Group(**base(item), rules=_rules(item)) for item in groups),
            ports=tuple(_port(item, base(item), marked=item.description == mark) for item in ports),
            floatings=tuple(
                resources.Floating(**base(item), address=item.floating_ip_address, port=item.port_id or "")
                for item in floatings
            ),
            keys=() if key is None else (resources.KeyPair(key.name, " ".join(key.public_key.split()[:2])),),
            servers=servers,
        )

    def _servers(self, name: str) -> tuple[resources.Server, ...]:
        # Nova takes a regular expression here, but escapes groups and alternatives in it: so it is only a prefix.
        found = self.connection.compute.servers(details=True, name=f"^{name}-")
        mine = [server for server in found if (server.metadata or {}).get(resources.META_CLUSTER) == name]
        return tuple(self._server(server) for server in mine)

    def _server(self, server: Any) -> resources.Server:  # noqa: ANN401
        meta: dict[str, str] = server.metadata or {}
        role: Role = "master" if meta.get(resources.META_ROLE) == "master" else "worker"
        addresses = [
            entry["addr"]
            for entries in (server.addresses or {}).values()
            for entry in entries
            if entry.get("OS-EXT-IPS:type") == "fixed" and entry.get("version") == 4
        ]
        listed = server.flavor or {}
        flavor = listed.get("original_name") or listed.get("name")
        if not flavor:
            # Before microversion 2.47 a server names only its flavor's id.
            self.flavors()
            known = self._flavors.get(str(listed.get("id")))
            flavor = known.name if known else str(listed.get("id"))
        return resources.Server(
            id=server.id,
            name=server.name,
            role=role,
            status=server.status or "",
            deleting=server.task_state == "deleting" or server.status in ("DELETED", "SOFT_DELETED"),
            launched=bool(server.launched_at),
            address=addresses[0] if addresses else "",
            flavor=flavor,
            image=str((server.image or {}).get("id") or ""),
            spec=meta.get(resources.META_SPEC, ""),
            packages=meta.get(resources.META_PACKAGES, ""),
            smoke_tested=meta.get(resources.META_SMOKE_TESTED, ""),
            floating=meta.get(resources.META_FLOATING, ""),
            fault=_one_line(str((server.fault or {}).get("message") or "")),
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
            return frozenset(server.id for server in found)

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
    for entry in group.security_group_rules or []:
        if entry["direction"] != "ingress":
            continue
        remote = entry.get("remote_group_id")
        peer = NODES if remote == group.id else entry.get("remote_ip_prefix") or "0.0.0.0/0"
        plain = entry.get("protocol") == "tcp" and entry.get("ethertype") == "IPv4" and remote in (None, group.id)
        ports = (entry.get("port_range_min"), entry.get("port_range_max"))
        rule = Rule(int(ports[0]), int(ports[1]), peer) if plain and None not in ports else None
        found.append((rule, entry["id"]))
    return tuple(found)


def _port(port: Any, base: dict[str, Any], *, marked: bool) -> resources.Port:  # noqa: ANN401
    return resources.Port(
        **base,
        address=port.fixed_ips[0]["ip_address"] if port.fixed_ips else "",
        network=port.network_id,
        device=port.device_id or "",
        owner=port.device_owner or "",
        groups=tuple(port.security_group_ids or ()),
        marked=marked,
    )
