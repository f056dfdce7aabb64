"""A cluster's resources on a cloud, as plain data, and how they are named and marked.

Ownership: the request that creates a resource also marks it. Neutron's resources get `mark(name)` as their description,
servers get metadata, the key pair its name. So everything that a killed `up` leaves behind is found again, and nothing
else is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.base.model import Role

NODES: Final = "nodes"
"""A rule's peer that means the other nodes, which are in the same security group."""

Kind = Literal["network", "subnet", "router", "security group", "port", "floating IP"]

# Keys of servers' metadata.
META_CLUSTER: Final = "provision_cluster"
META_ROLE: Final = "provision_role"
META_SPEC: Final = "provision_spec"
"""Hash of the settings that a node was configured with (plan.spec_hash)."""
META_FLOATING: Final = "provision_floating"
"""On the master: the floating IP that its certificate is for."""
META_PACKAGES: Final = "provision_packages"
"""Digest of the request for packages that was brought to the server (model/packages.py); empty: none."""
META_SMOKE_TESTED: Final = "provision_proved"
"""On the master: the META_SPEC with which the smoke test has passed."""


def mark(name: str) -> str:
    """Return the description that marks a Neutron resource as part of a cluster."""
    return f"provision cluster={name}"


def tags(name: str) -> tuple[str, ...]:
    """Return the tags that people and their tools can search for (`openstack network list --tags provision`)."""
    return ("provision", f"provision:cluster={name}")


def key_name(name: str) -> str:
    """Return the key pair's name; it also marks it, since key pairs have no metadata."""
    return f"provision-{name}"


def master_name(name: str) -> str:
    """Return the name of the master's server and port."""
    return f"{name}-master"


def worker_names(name: str, count: int) -> tuple[str, ...]:
    """Return the names of the workers' servers, as Nova numbers servers of one request."""
    return tuple(f"{name}-worker-{number}" for number in range(1, count + 1))


def natural(text: str) -> list[tuple[int, str]]:
    """Return a sort key that puts worker-2 before worker-10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", text)]


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

    @property
    def on_router(self) -> bool:
        """Whether it is a router's interface on the network."""
        return self.owner.startswith(("network:router_interface", "network:ha_router_replicated_interface"))


@dataclass(frozen=True, slots=True)
class Floating(Owned):
    """The cluster's floating IP."""

    address: str = ""
    port: str = ""
    """Id of the port that it leads to; empty if it is detached."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The operator's key pair on the cloud."""

    name: str
    public_key: str


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
    image: str = ""
    """The image's id."""
    spec: str = ""
    """Its META_SPEC."""
    packages: str = ""
    """Its META_PACKAGES."""
    smoke_tested: str = ""
    """A master's META_SMOKE_TESTED."""
    floating: str = ""
    """The floating IP that a master was configured for."""
    fault: str = ""
    """The cloud's reason for status ERROR."""


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

    def __bool__(self) -> bool:
        return any(getattr(self, item.name) for item in fields(self))

    def listed(self) -> Iterator[tuple[str, str]]:
        """Yield the kind and name of every resource."""
        for server in self.servers:
            yield "server", server.name
        for floating in self.floatings:
            yield "floating IP", floating.address
        for port in self.ports:
            if port.marked:  # the others come and go with their servers and router
                yield "port", port.name
        for kind, things in (
            ("router", self.routers),
            ("subnet", self.subnets),
            ("network", self.networks),
            ("security group", self.groups),
        ):
            for thing in things:
                yield kind, thing.name or thing.id
        for key in self.keys:
            yield "key pair", key.name

    @property
    def master_port(self) -> Port | None:
        """The port that was made for the master."""
        return next((port for port in self.ports if port.marked), None)

    @property
    def nodes(self) -> tuple[Server, ...]:
        """The servers that are not being deleted, the master first."""
        alive = [server for server in self.servers if not server.deleting]
        return tuple(sorted(alive, key=lambda server: (server.role != "master", natural(server.name))))
