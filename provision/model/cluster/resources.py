"""What a cloud holds of a cluster, as plain data, and how its things are named and marked.

Ownership: every Neutron resource gets `mark(name)` as its description in the request that creates it, every server its
metadata, the key pair its name. So whatever a killed `up` leaves behind is found again, and nothing else is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.base.model import Role

NODES: Final = "nodes"
"""A rule's peer that means: the other nodes of the same security group."""

Kind = Literal["network", "subnet", "router", "security group", "port", "floating IP"]

META_CLUSTER: Final = "provision_cluster"
META_ROLE: Final = "provision_role"
META_SPEC: Final = "provision_spec"
META_FLOATING: Final = "provision_floating"
"""On the master: the floating IP that its certificate is for."""
META_SMOKE_TESTED: Final = "provision_proved"
"""On the master, after a real job has run: the spec's hash that it ran under."""


def mark(name: str) -> str:
    """The description that every Neutron resource of a cluster carries from its first moment."""
    return f"provision cluster={name}"


def tags(name: str) -> tuple[str, ...]:
    """Tags for people and their tools (`openstack network list --tags provision`)."""
    return ("provision", f"provision:cluster={name}")


def key_name(name: str) -> str:
    """The key pair's name: Nova's key pairs have no metadata."""
    return f"provision-{name}"


def master_name(name: str) -> str:
    """The master's VM and port."""
    return f"{name}-master"


def worker_names(name: str, count: int) -> tuple[str, ...]:
    """The workers' VMs, as Nova's multi-create numbers them."""
    return tuple(f"{name}-worker-{number}" for number in range(1, count + 1))


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key that puts worker-2 before worker-10."""
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
        """The ports as people write them."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def __str__(self) -> str:
        return f"{self.ports} from {self.peer}"


@dataclass(frozen=True, slots=True)
class Group(Owned):
    """The nodes' security group with its ingress rules: (rule, id); a rule that is not ours in shape is (None, id)."""

    rules: tuple[tuple[Rule | None, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Port(Owned):
    """A port on the cluster's network; `marked` False for those that Nova and routers make themselves."""

    address: str = ""
    network: str = ""
    device: str = ""
    owner: str = ""
    groups: tuple[str, ...] = ()
    marked: bool = True

    @property
    def on_router(self) -> bool:
        """Whether it is a router's leg into the network."""
        return self.owner.startswith(("network:router_interface", "network:ha_router_replicated_interface"))


@dataclass(frozen=True, slots=True)
class Floating(Owned):
    """The cluster's floating IP and the id of the port it leads to."""

    address: str = ""
    port: str = ""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The operator's key as Nova knows it."""

    name: str
    public_key: str


@dataclass(frozen=True, slots=True)
class Server:
    """A VM of the cluster."""

    id: str
    name: str
    role: Role
    status: str = "ACTIVE"
    deleting: bool = False
    launched: bool = True
    address: str = ""
    flavor: str = ""
    image: str = ""
    spec: str = ""
    smoke_tested: str = ""
    floating: str = ""
    """The floating IP that a master was configured for."""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class ObservedCluster:
    """All that the cloud holds of one cluster. More than one of a kind is possible, and `down` removes them all."""

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
        """Name everything: (kind, name)."""
        for server in self.servers:
            yield "server", server.name
        for floating in self.floatings:
            yield "floating IP", floating.address
        for port in self.ports:
            if port.marked:  # the others are the VMs' and the router's, and come and go with them
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
        """The VMs that are not on their way out, master first."""
        alive = [server for server in self.servers if not server.deleting]
        return tuple(sorted(alive, key=lambda server: (server.role != "master", natural(server.name))))
