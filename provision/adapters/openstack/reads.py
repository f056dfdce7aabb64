"""Questions to a cloud: what it offers, and what it holds of a cluster.

What belongs to a cluster is looked for in the current project alone: an administrator's role shows those of others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from provision.adapters.openstack.questions.one_server import OneServer
from provision.adapters.openstack.session import first_ipv4, list_ports, list_servers, retry_transient
from provision.base.ahead import askable
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import CloudProject, Flavor
from provision.base.threads import together
from provision.model.cluster import resources
from provision.model.cluster.resources import NODES, ObservedCluster, Rule
from provision.model.cluster.statuses import DELETED, SOFT_DELETED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from openstack.connection import Connection

    from provision.adapters.openstack.kept_token import KeptToken
    from provision.base.model import Role
    from provision.model.cluster.resources import Kind

_PAGE: Final = 100
"""Servers that any cloud lists on one page: Nova's own limit is 1,000."""
_HALVED: Final = 200
"""Of a cluster of more workers the servers are listed in halves, which Nova makes beside each other."""
_FAULTS: Final = 5
"""How many servers in ERROR are asked for their reason."""


@dataclass(frozen=True, slots=True)
class External:
    """An external network. Its ranges and gateway are empty where this user may not see them."""

    id: str
    ranges: tuple[IPv4Network, ...] = ()
    gateway: str = ""


class Reads(OneServer):
    """Questions to the cloud."""

    def __init__(
        self, name: str, connection: Connection, file: Path | None = None, token: KeptToken | None = None
    ) -> None:
        super().__init__(name, connection, file, token)
        self._flavors: dict[str, Flavor] = {}

    # --- what the cloud offers ---

    def flavor_id(self, name: str) -> str:
        """Return the id of an existing flavor."""
        self.flavors()
        return next(key for key, flavor in self._flavors.items() if flavor.name == name)

    @askable
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

    @askable
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

    @askable
    @retry_transient
    def zones(self) -> frozenset[str]:
        """Name the availability zones that servers can be put in."""
        with self.asking("listing availability zones"):
            listed = self.connection.compute.availability_zones()
            return frozenset(str(each.name) for each in listed if each.state.get("available"))

    def place(self) -> CloudProject:
        """Say which project of which cloud this is."""
        config = self.connection.config
        return CloudProject(
            cloud=self.name,
            auth_url=str(config.get_auth_args().get("auth_url", "")),
            project=str(self.connection.current_project_id or ""),
            region=str(config.get_region_name("network") or ""),
        )

    def host(self) -> str:
        """Return the host name or address of the cloud's own API."""
        return str(urlsplit(self.connection.config.get_auth_args().get("auth_url", "")).hostname or "")

    # --- what the cloud holds ---

    @askable
    @retry_transient
    def observe(self, name: str, about: int = 0) -> ObservedCluster:
        """Find everything that belongs to the cluster `name`, in a constant number of requests.

        `about`: how many workers it may have; many are found sooner where that is told.
        """
        mark = resources.mark(name)
        tags = set(resources.tags(name))
        network = self.connection.network
        query = {"description": mark, "project_id": self.connection.current_project_id}

        def base(kind: str, item: Any) -> dict[str, Any]:  # noqa: ANN401
            # What is not marked gets no tags either: a network's port for DHCP, for example.
            tagged = tags <= set(item.tags or []) or item.description != mark or kind not in self.kinds_with_tags()
            return {"id": item.id, "name": item.name or "", "tagged": tagged}

        def ours(items: Iterable[Any]) -> list[Any]:
            return [item for item in items if item.description == mark and self._ours(item)]

        def listed(kind: Callable[..., Iterable[Any]]) -> list[Any]:
            return ours(kind(**query))

        def with_ports() -> tuple[list[Any], list[Any]]:
            # Beside the servers' list: of a large cluster both take long.
            found = listed(network.networks)
            return found, [port for each in found for port in list_ports(self.connection, network_id=each.id)]

        with self.asking("looking at what is there"):
            kinds = (network.subnets, network.routers, network.security_groups, network.ips)
            (networks, ports), subnets, routers, groups, floatings, everything, server_groups, key = together(
                with_ports,
                *(partial(listed, kind) for kind in kinds),
                partial(self._whole_list, about),
                lambda: [*self._server_groups()],
                partial(self._key, name),
            )
            servers, hidden = self._servers(name, everything), _hidden(everything)
            worker, hub = resources.worker_mark(name), resources.hub_mark(name)
            if not networks:
                # On a network that was there before: its other ports are none of ours.
                mine, vms = {group.id for group in groups}, {server.id for server in servers}
                everybodys = list_ports(self.connection, project_id=str(self.connection.current_project_id))
                ports = [
                    port
                    for port in everybodys
                    if ours([port])
                    or port.description in (worker, hub)
                    or port.device_id in vms
                    or mine & set(port.security_group_ids or ())
                    # Of one that has no groups nothing tells whose it is.
                    or (port.device_id in hidden and port.is_port_security_enabled is False)
                ]
            if hidden & {port.device_id for port in ports}:
                raise ProvisionError(
                    f"the cloud cannot show all servers of cluster {name} now: one of its cells is down",
                    "What it does not show is not made again, and not removed. `openstack server list` shows such "
                    "servers as UNKNOWN: run the same command again when it shows them whole.",
                )
            marked = [port.id for port in ports if ours([port]) or port.description == hub]
            # One that was there before the cluster has no mark.
            others = [] if floatings else [each for port in marked for each in network.ips(port_id=port)]
            return ObservedCluster(
                networks=tuple(resources.Network(**base("network", item)) for item in networks),
                subnets=tuple(
                    resources.Subnet(
                        **base("subnet", item),
                        cidr=item.cidr,
                        network=item.network_id,
                        nameservers=tuple(item.dns_nameservers or ()),
                    )
                    for item in subnets
                ),
                routers=tuple(
                    resources.Router(
                        **base("router", item), external=(item.external_gateway_info or {}).get("network_id", "")
                    )
                    for item in routers
                ),
                groups=tuple(resources.Group(**base("security group", item), rules=_rules(item)) for item in groups),
                ports=tuple(
                    _port(
                        item,
                        base("port", item),
                        marked=item.description in (mark, worker, hub, resources.interface_mark(name)),
                        worker=item.description == worker,
                        hub=item.description == hub,
                    )
                    for item in ports
                ),
                floatings=tuple(
                    _floating(item, base("floating IP", item), marked=item in floatings) for item in floatings or others
                ),
                keys=(resources.KeyPair(resources.key_name(name), key),) if key else (),
                servers=resources.in_groups(servers, server_groups),
                server_groups=tuple(each for each in server_groups if each.name == resources.group_name(name)),
            )

    @retry_transient
    def key(self, name: str) -> str:
        """Return the public key of the cluster's key pair; empty if this user has none."""
        with self.asking("looking for the key pair"):
            return self._key(name)

    def _key(self, name: str) -> str:
        from openstack import exceptions as sdk

        try:
            found = self.connection.compute.find_keypair(resources.key_name(name), ignore_missing=True)
        except sdk.NotFoundException:
            return ""
        return " ".join(found.public_key.split()[:2]) if found else ""

    @retry_transient
    def holds(self, kind: Kind, name: str, mark: str = "") -> frozenset[str]:
        """Return the ids of all of one kind that the cluster holds: two have been made if two `up`s are at work.

        `mark`: the description that they have, if it is not the one of most.
        """
        if kind == "server group":
            with self.asking(f"looking for the {kind}"):
                groups = self._server_groups()
                return frozenset(group.id for group in groups if group.name == resources.group_name(name))
        network, mark = self.connection.network, mark or resources.mark(name)
        items = {
            "network": network.networks,
            "subnet": network.subnets,
            "router": network.routers,
            "security group": network.security_groups,
            "port": network.ports,
            "floating IP": network.ips,
        }[kind]
        with self.asking(f"looking for the {kind}"):
            found = items(description=mark, project_id=self.connection.current_project_id)
            return frozenset(item.id for item in found if item.description == mark and self._ours(item))

    def _listed_servers(self) -> list[Any]:
        # All of the project's: people rename servers, and Nova has no filter for metadata. The SDK follows the links to
        # further pages; with a limit of ours it would ask for one more behind the last.
        return [*filter(self._ours, list_servers(self.connection, details=True))]

    def _from_both_ends(self, about: int) -> list[Any]:
        """List the servers by their ids, which never change, from both ends at the same time, until these meet."""

        def page(direction: str, limit: int, **query: str) -> list[Any]:
            asked = {"sort_key": "uuid", "sort_dir": direction, "limit": str(limit), **query}
            return [*list_servers(self.connection, details=True, hostnames=False, **asked)]

        half = about // 2 + _PAGE // 10
        up, down = together(partial(page, "asc", half), partial(page, "desc", half))
        while up and down and up[-1].id < down[-1].id and (more := page("asc", _PAGE, marker=up[-1].id)):
            up += more
        return [*filter(self._ours, {item.id: item for item in (*up, *down)}.values())]

    def _whole_list(self, about: int = 0) -> list[Any]:
        """List the servers until a list shows none that the ones before have left out.

        While servers are built they move within Nova's list: one can slip between two pages, and would be made twice.
        No order that Nova offers helps: it lists those that have no hypervisor yet before all others.
        """
        if about > _HALVED:
            servers = self._from_both_ends(about)
            if not any(item.status == "BUILD" for item in servers):
                return servers
        seen: dict[str, Any] = {}
        while True:
            found = {item.id: item for item in self._listed_servers()}
            new, seen = found.keys() - seen.keys(), seen | found
            moves = len(found) > _PAGE and any(item.status == "BUILD" for item in found.values())
            if not new or not moves:
                return [*seen.values()]

    def _servers(self, name: str, found: Iterable[Any]) -> tuple[resources.Server, ...]:
        # Nova lists servers of one second in an order that changes while it starts them: what was on the page before
        # can come once more, and is newer then.
        mine = {item.id: item for item in found if (item.metadata or {}).get(resources.META_CLUSTER) == name}.values()
        # Nova's lists do not say why, of those for which it has found no hypervisor: each is asked for, not hundreds.
        for item in [each for each in mine if each.status == "ERROR" and not each.fault][:_FAULTS]:
            item.fault = getattr(self.connection.compute.find_server(item.id), "fault", None)
        servers = [self._server(item) for item in mine]
        named = resources.with_own_names(name, servers, {})
        if not any(server.renamed and server.role == "worker" for server in named):
            return named
        listed = list_servers(self.connection, details=True, hostnames=True)
        return resources.with_own_names(name, servers, {item.id: item.hostname or "" for item in listed})

    def _server(self, server: Any) -> resources.Server:  # noqa: ANN401
        meta: dict[str, str] = server.metadata or {}
        roles: dict[str, Role] = {"master": "master", "hub": "hub"}
        role = roles.get(meta.get(resources.META_ROLE, ""), "worker")
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
            deleting=server.task_state == "deleting" or server.status in {DELETED, SOFT_DELETED},
            launched=bool(server.launched_at),
            address=addresses[0] if addresses else "",
            flavor=flavor,
            size=_size(flavor, listed),
            zone=getattr(server, "availability_zone", None) or "",
            image=str((server.image or {}).get("id") or ""),
            spec=meta.get(resources.META_SPEC, ""),
            packages=meta.get(resources.META_PACKAGES, ""),
            smoke_tested=meta.get(resources.META_SMOKE_TESTED, ""),
            floating=meta.get(resources.META_FLOATING, ""),
            certificate=meta.get(resources.META_CERTIFICATE, ""),
            fault=_one_line(str((server.fault or {}).get("message") or "")),
            key=meta.get(resources.META_KEY, ""),
            origin=meta.get(resources.META_ORIGIN, ""),
            users=resources.read_users(meta) if role != "worker" else None,
            accounts=meta.get(resources.META_ACCOUNTS, ""),
            monitored=meta.get(resources.META_MONITORED, ""),
            baked=bool(meta.get(resources.META_BAKED)),
        )

    @retry_transient
    def servers(self, name: str) -> tuple[resources.Server, ...]:
        """Return the cluster's VMs."""
        with self.asking("listing servers"):
            return self._servers(name, self._listed_servers())

    @retry_transient
    def building(self) -> frozenset[str]:
        """Return the ids of the project's VMs that are still being built: the cheapest question that shows progress."""
        with self.asking("listing servers that are being built"):
            found = list_servers(self.connection, details=False, status="BUILD")
            return frozenset(server.id for server in found)


def _one_line(text: str) -> str:
    """Write a fault on one line, without markup: some carry a proxy's HTML page."""
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def _size(name: str, flavor: Mapping[str, Any]) -> Flavor | None:
    """Return the flavor that a server carries with it, since microversion 2.47; None before."""
    if not (flavor.get("vcpus") and flavor.get("ram")):
        return None
    return Flavor(name, int(flavor["vcpus"]), int(flavor["ram"]), int(flavor.get("disk") or 0))


def _hidden(servers: Iterable[Any]) -> frozenset[str]:
    """Return the ids of servers of which the cloud says nothing more, since it does not reach their cell.

    https://docs.openstack.org/api-guide/compute/down_cells.html
    """
    return frozenset(item.id for item in servers if item.metadata is None and item.status == "UNKNOWN")


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


def _floating(item: Any, base: dict[str, Any], *, marked: bool) -> resources.Floating:  # noqa: ANN401
    return resources.Floating(**base, address=item.floating_ip_address, port=item.port_id or "", marked=marked)


def _port(port: Any, base: dict[str, Any], *, marked: bool, worker: bool, hub: bool) -> resources.Port:  # noqa: ANN401
    return resources.Port(
        **base,
        address=first_ipv4(port.fixed_ips or ()),
        network=port.network_id,
        device=port.device_id or "",
        owner=port.device_owner or "",
        groups=tuple(port.security_group_ids or ()),
        marked=marked,
        worker=worker,
        hub=hub,
        secured=port.is_port_security_enabled is not False,
    )
