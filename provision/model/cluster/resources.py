"""A cluster's resources on a cloud, as plain data, and how they are named and marked.

Ownership: the request that creates a resource also marks it. Neutron's resources get `mark(name)` as their description,
servers get metadata, the key pair its name. So everything that a killed `up` leaves behind is found again, and nothing
else is.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final, Literal

from provision.base.roles import first_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from provision.base.model import Flavor, Role, User

NODES: Final = "nodes"
"""A rule's peer that means the other nodes, which are in the same security group."""

Kind = Literal["network", "subnet", "router", "security group", "port", "floating IP", "server group"]

# Keys of servers' metadata.
META_CLUSTER: Final = "provision_cluster"
META_ROLE: Final = "provision_role"
META_SPEC: Final = "provision_spec"
"""Hash of the settings that a node was configured with (plan.spec_hash)."""
META_FLOATING: Final = "provision_floating"
"""On the node with the Hub: its address, which the certificate is for: the floating IP, or its own."""
META_CERTIFICATE: Final = "provision_certificate"
"""On the node with the Hub: the last day (ISO 8601) of the Hub's certificate that it was given."""
META_PACKAGES: Final = "provision_packages"
"""Digest of the request for packages that was brought to the server (model/packages.py); empty: none."""
META_SMOKE_TESTED: Final = "provision_proved"
"""On the node with the Hub: the META_SPEC with which the smoke test has passed."""
META_BAKED: Final = "provision_baked"
"""On a server that a golden image is made of: set once its disk is ready for that."""
META_KEY: Final = "provision_key"
"""Fingerprint of the key pair that a server was made with: key pairs are their user's, and others do not see them."""
META_ORIGIN: Final = "provision_origin"
"""On the node with the Hub: the name of the spec's file, or DEFAULT_ORIGIN."""
META_USERS: Final = "provision_users"
"""On the node with the Hub: the notebook users, in as many values as they need (user_metadata)."""
META_ACCOUNTS: Final = "provision_accounts"
"""On the node with the Hub: hash of the users as they were brought to it (users_hash)."""
META_MONITORED: Final = "provision_monitored"
"""On the master: hash of the nodes that monitoring was told of (model/monitoring/cluster/jobs.py)."""
DEFAULT_ORIGIN: Final = "default"
"""The META_ORIGIN of a cluster that was made without a cluster.yaml."""
VALUE_AT_MOST: Final = 255
"""Letters in a value of a server's metadata."""


def mark(name: str) -> str:
    """Return the description that marks a Neutron resource as part of a cluster."""
    return f"provision cluster={name}"


def interface_mark(name: str) -> str:
    """Return the description of the port by which a router that was there before is on the cluster's network."""
    return f"{mark(name)} router interface"


def hub_mark(name: str) -> str:
    """Return the description of the port of the Hub's own node."""
    return f"{mark(name)} hub"


def worker_mark(name: str) -> str:
    """Return the description of a worker's port that was made before the worker."""
    return f"{mark(name)} worker"


def tags(name: str) -> tuple[str, ...]:
    """Return the tags that people and their tools can search for (`openstack network list --tags provision`)."""
    return ("provision", f"provision:cluster={name}")


def key_name(name: str) -> str:
    """Return the key pair's name; it also marks it, since key pairs have no metadata."""
    return f"provision-{name}"


def group_name(name: str) -> str:
    """Return the name of the workers' server group; it also marks it, since server groups have no metadata."""
    return f"provision-{name}"


def master_name(name: str) -> str:
    """Return the name of the master's server and port."""
    return f"{name}-master"


def hub_name(name: str) -> str:
    """Return the name of the server and port of the Hub's own node, where the spec asks for one."""
    return f"{name}-hub"


def role_of(name: str, server: str) -> Role:
    """Return the role of the node that is called `server` in cluster `name`."""
    roles: dict[str, Role] = {master_name(name): "master", hub_name(name): "hub"}
    return roles.get(server, "worker")


def worker_names(name: str, count: int) -> tuple[str, ...]:
    """Return the names of the workers' servers, as Nova numbers servers of one request."""
    return tuple(f"{name}-worker-{number}" for number in range(1, count + 1))


def fingerprint(public_key: str) -> str:
    """Return the META_KEY of a public key (`ssh-ed25519 AAAA…`); empty without one."""
    return hashlib.sha256(public_key.encode()).hexdigest()[:16] if public_key else ""


def origin(file: str) -> str:
    """Return the META_ORIGIN of a spec's file; an empty name stands for the default spec."""
    return file[-VALUE_AT_MOST:] or DEFAULT_ORIGIN


def user_metadata(users: Iterable[str]) -> dict[str, str]:
    """Return the metadata that names the users: `provision_users`, `provision_users_2`…, the last one empty.

    The empty one ends the list, so that a shorter one leaves nothing of a longer one that was there before.
    """
    parts = [""]
    for user in users:
        grown = f"{parts[-1]},{user}" if parts[-1] else user
        if len(grown) <= VALUE_AT_MOST:
            parts[-1] = grown
        else:
            parts.append(user)
    return {_user_key(number): part for number, part in enumerate([*filter(None, parts), ""], start=1)}


def users_hash(users: Iterable[User]) -> str:
    """Hash who the users are and what they may do: what accounts that exist are compared with."""
    data = [(user.name, user.admin, user.groups) for user in users]
    return hashlib.sha256(json.dumps(data).encode()).hexdigest()[:16]


def read_users(metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the users that a master's metadata names; None where it does not say (a cluster of an older release)."""
    if META_USERS not in metadata:
        return None
    found: list[str] = []
    number = 1
    while part := metadata.get(_user_key(number), ""):
        found += part.split(",")
        number += 1
    return tuple(found)


def _user_key(number: int) -> str:
    return META_USERS if number == 1 else f"{META_USERS}_{number}"


def natural(text: str) -> list[tuple[int, str]]:
    """Return a sort key that puts worker-2 before worker-10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", text)]


@dataclass(frozen=True, slots=True)
class Owned:
    """A Neutron resource that carries the mark; `tagged` says whether its tags are set too."""

    id: str
    name: str = ""
    tagged: bool = True


@dataclass(frozen=True, slots=True)
class Network(Owned):
    """The cluster's network."""


@dataclass(frozen=True, slots=True)
class Subnet(Owned):
    """The cluster's subnet."""

    cidr: str = ""
    network: str = ""
    nameservers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Router(Owned):
    """The cluster's router; `external` is the id of the network of its gateway."""

    external: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """TCP ports `first` to `last` are open to `peer`: a range of addresses, or NODES."""

    first: int
    last: int
    peer: str

    @property
    def ports(self) -> str:
        """The port or range, as people write it."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def __str__(self) -> str:
        return f"{self.ports} from {self.peer}"


@dataclass(frozen=True, slots=True)
class Group(Owned):
    """The nodes' security group."""

    rules: tuple[tuple[Rule | None, str], ...] = ()
    """Ingress rules with their ids. None stands for a rule that `provision` never makes (UDP, IPv6, another group)."""


@dataclass(frozen=True, slots=True)
class Port(Owned):
    """A port on the cluster's network."""

    address: str = ""
    network: str = ""
    device: str = ""
    """Id of the server or router that it belongs to."""
    owner: str = ""
    """Neutron's device_owner: `compute:nova`, `network:router_interface`."""
    groups: tuple[str, ...] = ()
    """Ids of its security groups."""
    marked: bool = True
    """Whether `provision` made it: Nova and routers make ports of their own, without the mark."""
    worker: bool = False
    """Whether it was made for a worker, whose name it has."""
    hub: bool = False
    """Whether it was made for the Hub's own node."""
    secured: bool = True
    """Whether security groups have an effect on it."""

    @property
    def for_master(self) -> bool:
        """Whether it was made for the master."""
        return self.marked and not self.on_router and not self.worker and not self.hub

    @property
    def on_router(self) -> bool:
        """Whether it is a router's interface on the network; `provision` marks that of a router which was there."""
        return self.owner.startswith(("network:router_interface", "network:ha_router_replicated_interface"))


@dataclass(frozen=True, slots=True)
class Floating(Owned):
    """The cluster's floating IP."""

    address: str = ""
    port: str = ""
    """Id of the port that it leads to; empty if it is detached."""
    marked: bool = True
    """Whether `provision` made it: the spec may name one that was there."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The operator's key pair on the cloud."""

    name: str
    public_key: str


@dataclass(frozen=True, slots=True)
class ServerGroup:
    """A server group: the servers in it are put on different hypervisors, or on the same."""

    id: str
    name: str = ""
    policy: str = ""
    """`soft-anti-affinity` and others."""
    members: frozenset[str] = frozenset()
    """Ids of the servers in it."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server (VM) of the cluster."""

    id: str
    name: str
    role: Role
    status: str = "ACTIVE"
    deleting: bool = False
    """Whether the cloud is deleting it."""
    launched: bool = True
    """Whether it has ever run; one that has not holds nobody's work."""
    address: str = ""
    flavor: str = ""
    """The flavor's name."""
    size: Flavor | None = None
    """What its flavor was when it was made: the cloud may offer it no longer. None where the cloud does not say."""
    zone: str = ""
    """The availability zone that it is in; empty while it is in none."""
    image: str = ""
    """The image's id."""
    spec: str = ""
    """Its META_SPEC."""
    packages: str = ""
    """Its META_PACKAGES."""
    smoke_tested: str = ""
    """Its META_SMOKE_TESTED; this and what follows are those of the node with the Hub."""
    floating: str = ""
    """The address of the Hub that a master was configured for: a floating IP, or its own."""
    certificate: str = ""
    """A master's META_CERTIFICATE."""
    fault: str = ""
    """The cloud's reason for status ERROR."""
    key: str = ""
    """Its META_KEY."""
    origin: str = ""
    """A master's META_ORIGIN."""
    users: tuple[str, ...] | None = None
    """A master's users; None if it does not say."""
    accounts: str = ""
    """A master's META_ACCOUNTS."""
    monitored: str = ""
    """A master's META_MONITORED."""
    server_groups: tuple[str, ...] = ()
    """Ids of the server groups that it is in."""
    baked: bool = False
    """Whether it has META_BAKED."""
    renamed: str = ""
    """The name that somebody has given it since; `name` is the one that it was created with."""

    @property
    def label(self) -> str:
        """Its name, and the one that the cloud shows if that is another."""
        return f"{self.name} (renamed to {self.renamed})" if self.renamed else self.name


def in_groups(servers: Iterable[Server], groups: Iterable[ServerGroup]) -> tuple[Server, ...]:
    """Say of servers which server groups they are in."""
    groups = tuple(groups)
    return tuple(
        replace(server, server_groups=tuple(group.id for group in groups if server.id in group.members))
        for server in servers
    )


def with_own_names(name: str, servers: Iterable[Server], hostnames: Mapping[str, str]) -> tuple[Server, ...]:
    """Give servers that were renamed the names that they were created with: the nodes themselves still have them.

    `hostnames`: what the cloud says of them, by server id; an older cloud says nothing. Then a worker gets the lowest
    number that is free.
    """
    servers = tuple(servers)
    pattern = re.compile(rf"{re.escape(name)}-worker-[1-9]\d*")

    def created_as(server: Server) -> str:
        if server.role != "worker":
            return master_name(name) if server.role == "master" else hub_name(name)
        hostname = hostnames.get(server.id, "").partition(".")[0]
        return next((known for known in (server.name, hostname) if pattern.fullmatch(known)), "")

    own = {server.id: created_as(server) for server in servers}
    taken = {known for known in own.values() if known}
    free = (worker for number in itertools.count(1) if (worker := f"{name}-worker-{number}") not in taken)
    for server in sorted(servers, key=lambda server: server.id):
        own[server.id] = own[server.id] or next(free)
    return tuple(
        server if own[server.id] == server.name else replace(server, name=own[server.id], renamed=server.name)
        for server in servers
    )


@dataclass(frozen=True, slots=True)
class ObservedCluster:
    """Everything that the cloud holds of one cluster. There can be more than one of a kind; `down` removes them all."""

    networks: tuple[Network, ...] = ()
    subnets: tuple[Subnet, ...] = ()
    routers: tuple[Router, ...] = ()
    groups: tuple[Group, ...] = ()
    ports: tuple[Port, ...] = ()
    floatings: tuple[Floating, ...] = ()
    keys: tuple[KeyPair, ...] = ()
    servers: tuple[Server, ...] = ()
    server_groups: tuple[ServerGroup, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, item.name) for item in fields(self))

    def listed(self) -> Iterator[tuple[str, str]]:
        """Yield the kind and name of every resource."""
        for server in self.servers:
            yield "server", server.label
        for floating in self.floatings:
            if floating.marked:
                yield "floating IP", floating.address
        for port in self.ports:
            if port.marked and not port.on_router:  # the others come and go with their servers and router
                yield "port", port.name
        made: tuple[tuple[Owned, ...], ...] = (self.routers, self.subnets, self.networks, self.groups)
        for kind, things in zip(("router", "subnet", "network", "security group"), made, strict=True):
            yield from ((kind, thing.name or thing.id) for thing in things)
        for server_group in self.server_groups:
            yield "server group", server_group.name
        for key in self.keys:
            yield "key pair", key.name

    def port_of(self, role: Role) -> Port | None:
        """Return the port that was made for the node of a role of which there is one: `master` or `hub`."""
        return next((port for port in self.ports if (port.hub if role == "hub" else port.for_master)), None)

    @property
    def master_port(self) -> Port | None:
        """The port that was made for the master."""
        return self.port_of("master")

    @property
    def hub_role(self) -> Role:
        """The role of the node with the Hub: `hub` where it has one of its own."""
        apart = any(port.hub for port in self.ports) or any(server.role == "hub" for server in self.servers)
        return "hub" if apart else "master"

    @property
    def hub_server(self) -> Server | None:
        """The server with the Hub."""
        return next((server for server in self.nodes if server.role == self.hub_role), None)

    @property
    def worker_ports(self) -> tuple[Port, ...]:
        """The ports that were made for workers."""
        return tuple(port for port in self.ports if port.worker)

    @property
    def address(self) -> str:
        """Where the Hub is: the floating IP, or its node's own address if it was made without one; empty: nowhere."""
        if self.floatings:
            return self.floatings[0].address
        port = self.port_of(self.hub_role)
        own = {server.floating for server in self.nodes if server.role != "worker"}
        return port.address if port and port.address in own else ""

    @property
    def nodes(self) -> tuple[Server, ...]:
        """The servers that are not being deleted, the master first."""
        alive = [server for server in self.servers if not server.deleting]
        return tuple(sorted(alive, key=lambda server: (first_of(server.role), natural(server.name))))
