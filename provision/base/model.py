"""The plain data that passes between the layers: the spec as every layer reads it, and what a cloud holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_CIDR = IPv4Network("10.20.0.0/24")

Role = Literal["master", "worker"]


@dataclass(frozen=True, slots=True)
class User:
    """A notebook user: a PAM account on the master."""

    name: str
    admin: bool = False


@dataclass(frozen=True, slots=True)
class Tls:
    """The user's own certificate (PEM, chain included) and key for the Hub."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """The network that is made for the cluster; `access` None means: only this machine's view of the cloud."""

    cidr: IPv4Network = DEFAULT_CIDR
    external: str = "public"
    access: tuple[IPv4Network, ...] | None = None


@dataclass(frozen=True, slots=True)
class MasterSpec:
    """The node that runs the Spark master, the Hub and every notebook's driver."""

    flavor: str = "m1.small"


@dataclass(frozen=True, slots=True)
class WorkersSpec:
    """The Spark workers: all alike."""

    count: int = 2
    flavor: str = "m1.small"


@dataclass(frozen=True, slots=True)
class SparkSpec:
    """What one notebook may take. None: the default (4 cores, 2048 MiB), capped by what the workers have."""

    app_cores: int | None = None
    executor_memory_mib: int | None = None
    defaults: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class HubSpec:
    """The JupyterHub; `idle_timeout` in seconds, 0 never culls."""

    port: int = 443
    idle_timeout: int = 3600
    tls: Tls | None = None
    users: tuple[User, ...] = (User("alice"),)


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """A cluster as the user asked for it, every default filled in."""

    name: str
    cloud: str = "local"
    image: str = "golden"
    network: NetworkSpec = field(default_factory=NetworkSpec)
    master: MasterSpec = field(default_factory=MasterSpec)
    workers: WorkersSpec = field(default_factory=WorkersSpec)
    spark: SparkSpec = field(default_factory=SparkSpec)
    hub: HubSpec = field(default_factory=HubSpec)


@dataclass(frozen=True, slots=True)
class Flavor:
    """A size of VM: RAM in MiB, disk in GiB."""

    name: str
    vcpus: int
    ram: int
    disk: int


@dataclass(frozen=True, slots=True)
class Sizing:
    """What the flavors make of the spec: memory in MiB, already capped (model/cluster/sizing.py)."""

    worker_cores: int
    worker_memory: int
    app_cores: int
    executor_memory: int
    driver_memory: int


@dataclass(frozen=True, slots=True)
class Secrets:
    """A cluster's secrets, kept in its own 0700 folder on the operator's machine; never printed."""

    spark_secret: str = field(repr=False)
    hub_cert: str = field(repr=False)
    hub_key: str = field(repr=False)
    authority: str = field(repr=False)
    """PEM of the certificate authority that signed `hub_cert` (or of the user's own certificate chain)."""
    password_hashes: tuple[tuple[str, str], ...] = field(repr=False, default=())
    """User name and crypt(3) hash of the first password."""
    operator_public_key: str = ""


@dataclass(frozen=True, slots=True)
class Addresses:
    """What is known before any VM exists: the master's port and its floating IP."""

    master: str
    floating: str


@dataclass(frozen=True, slots=True)
class Node:
    """A live node: its role, its address inside the cluster, and its SSH host keys (`ssh-ed25519 AAAA…`)."""

    name: str
    role: Role
    address: str
    id: str = ""
    status: str = ""
    host_keys: tuple[str, ...] = ()
