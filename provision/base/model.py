"""Plain data that the layers share: the spec, what is worked out from it, and a cluster's nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEFAULT_CIDR = IPv4Network("10.20.0.0/24")

Role = Literal["master", "hub", "worker"]
Spread = Literal["off", "prefer", "require"]


@dataclass(frozen=True, slots=True)
class User:
    """A notebook user: a PAM account on the node with the Hub."""

    name: str
    admin: bool = False
    groups: tuple[str, ...] = ()
    """Unix groups beside those that every notebook user is in."""
    must_change_password: bool = False
    """Whether the first password is good for one login only, at which the user sets another."""


@dataclass(frozen=True, slots=True)
class Tls:
    """The user's own certificate (PEM, chain included) and key for the Hub."""

    cert: Path
    key: Path


GOLDEN: Final = "golden"


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """The image that nodes are made of."""

    name: str = GOLDEN
    """`golden` for the one that this machine bakes, or a name or id on the cloud."""
    stock: bool = False
    """Whether it is a vendor's, on which the nodes install everything at their first boot."""
    sources: Literal["image", "host"] = "image"
    """From where they do: as the image says, or as this machine does."""

    @property
    def baked(self) -> bool:
        """Whether it is this machine's golden image, which is uploaded where it is missing."""
        return self.name == GOLDEN


@dataclass(frozen=True, slots=True)
class Bastion:
    """A machine that lets the operator through, by SSH, to nodes that cannot be reached otherwise."""

    host: str
    """Its name or address, or what the operator's own ssh_config calls it."""
    user: str = ""
    port: int = 0
    """Empty and 0: as the operator's own ssh_config says."""

    def __str__(self) -> str:
        user, port = f"{self.user}@" if self.user else "", f":{self.port}" if self.port else ""
        return f"{user}{self.host}{port}"


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """The cluster's network: one that is created for it, or one that is there."""

    cidr: IPv4Network = DEFAULT_CIDR
    """The range of the subnet; of an existing network, the one that its cloud says."""
    external: str = "public"
    """Name of the external network that the floating IP comes from, and the router leads to."""
    existing: str = ""
    """Name or id of a network that is there, which the nodes are put on; empty: one is created, with a subnet."""
    subnet: str = ""
    """Name or id of a subnet of that network; empty: its only one."""
    router: str = ""
    """Name or id of a router that is there, for a network that is created; empty: one is created."""
    nameservers: tuple[str, ...] = ()
    """Name servers of the subnet that is created; none: what the cloud gives."""
    floating_ip: bool | str = True
    """The floating IP of the node with the Hub: a new one, none, or the address of one that the project has."""
    security_groups: tuple[str, ...] = ()
    """Names or ids of security groups that are there, which the nodes are in beside the cluster's own."""
    access: tuple[IPv4Network, ...] | None = None
    """Ranges that may reach the cluster; None means this machine only, as the cloud sees it."""
    bastion: Bastion | None = None
    """By which machine this one reaches the nodes; None: directly."""


@dataclass(frozen=True, slots=True)
class MasterSpec:
    """A node that there is one of: the Spark master's, or the Hub's own (HubSpec.node)."""

    flavor: str = "m1.small"
    zone: str = ""
    """The availability zone; empty: the cloud's choice."""
    server_group: str = ""
    """Name or id of a server group that is there; empty: none."""


@dataclass(frozen=True, slots=True)
class WorkersSpec:
    """The Spark workers, which are all alike."""

    count: int = 2
    flavor: str = "m1.small"
    zone: str = ""
    """The availability zone; empty: the cloud's choice."""
    spread: Spread = "off"
    """Whether they are on hypervisors of their own, by a server group that is created."""
    server_group: str = ""
    """Name or id of a server group that is there; empty: none, or the one that is created."""


@dataclass(frozen=True, slots=True)
class SparkSpec:
    """What notebooks may use. None means what follows from the flavors (model/cluster/sizing.py)."""

    app_cores: int | None = None
    """Cores of one notebook, at most."""
    user_cores: int | None = None
    """Cores of all notebooks of a user, at most."""
    executor_memory_mib: int | None = None
    defaults: tuple[tuple[str, str], ...] = ()
    """Other entries of spark-defaults.conf."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What each user may take of the Hub's node. None means what follows from its flavor (model/cluster/sizing.py)."""

    memory_mib: int | None = None
    cores: int | None = None
    """None: what is free, and an equal share of it when others want it too."""
    tasks: int = 2048
    """Processes and threads."""
    disk_mib: int | None = None
    """What a user's files may take, wherever they are; None: what the disk has."""


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a secret is on the operator's machine: one of the two."""

    field: str
    """The field of cluster.yaml that says so, for errors."""
    file: Path | None = None
    variable: str = ""
    """A variable of the environment."""


@dataclass(frozen=True, slots=True)
class Oidc:
    """A login server that speaks OIDC; it says itself where its pages are."""

    issuer: str
    client_id: str
    secret: SecretSource
    username_claim: str = "preferred_username"
    groups_claim: str = "groups"
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    claims: Literal["userinfo", "id_token"] = "userinfo"
    """Where the claims are read."""
    title: str = ""
    """What people read on the button; empty for the issuer's host."""


@dataclass(frozen=True, slots=True)
class Ldap:
    """A directory: `user_dn` says what a user's entry is called, or else it is searched for below `search_base`."""

    server: str
    port: int | None = None
    tls: Literal["ldaps", "starttls"] = "ldaps"
    user_dn: str = ""
    search_base: str = ""
    user_attribute: str = "uid"
    bind_dn: str = ""
    """The account that searches; empty if anybody may."""
    secret: SecretSource | None = None
    """Its password."""


@dataclass(frozen=True, slots=True)
class Login:
    """Logins by a server of the user's own, instead of PAM: who may, and whose accounts are made at the first login."""

    server: Oidc | Ldap
    ca: str = ""
    """PEM of the server's own authority; empty for those that every system knows."""
    email_domain: str = ""
    """A login that is an address of this domain is the name before the @."""
    allow_all: bool = False
    allowed_users: tuple[str, ...] = ()
    allowed_groups: tuple[str, ...] = ()
    denied_users: tuple[str, ...] = ()
    admin_users: tuple[str, ...] = ()
    admin_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HubSpec:
    """The JupyterHub."""

    port: int = 443
    idle_timeout: int = 3600
    """Seconds after which an idle notebook is stopped; 0 means never."""
    limits: Limits = field(default_factory=Limits)
    tls: Tls | None = None
    login: Login | None = None
    """None: by PAM, with the accounts and passwords of `users`."""
    users: tuple[User, ...] = (User("alice"),)
    node: MasterSpec | None = None
    """A node of its own, with everybody's notebooks, drivers and files; None: all that is on the master."""

    @property
    def groups(self) -> tuple[str, ...]:
        """The Unix groups of all users, each once."""
        return tuple(sorted({group for user in self.users for group in user.groups}))

    @property
    def alone(self) -> bool:
        """Whether there is one user, who has the memory of all."""
        return len(self.users) == 1 and self.login is None

    @property
    def known_users(self) -> tuple[str, ...]:
        """The names of all users; empty where logins make accounts, and only the master knows them."""
        return tuple(user.name for user in self.users) if self.login is None else ()


@dataclass(frozen=True, slots=True)
class LocalWheel:
    """A wheel on the operator's machine."""

    name: str
    """The package's name as pip writes it; extras follow in brackets."""
    path: Path


@dataclass(frozen=True, slots=True)
class PackagesSpec:
    """What the nodes get beside the image's own libraries."""

    requirements: tuple[str, ...] = ()
    """pip requirement lines."""
    wheels: tuple[LocalWheel, ...] = ()
    jars: tuple[Path, ...] = ()
    """Jars on the operator's machine, for the drivers and executors of every notebook."""
    coordinates: tuple[str, ...] = ()
    """The same from Maven repositories, with all that they need: `group:artifact:version`."""

    def __bool__(self) -> bool:
        return bool(self.requirements or self.wheels or self.has_jars)

    @property
    def has_jars(self) -> bool:
        """Whether the nodes get any jars."""
        return bool(self.jars or self.coordinates)

    def files(self) -> Iterator[Path]:
        """Yield the files on the operator's machine that it names."""
        yield from (wheel.path for wheel in self.wheels)
        yield from self.jars


@dataclass(frozen=True, slots=True)
class ProxySpec:
    """The proxies that programs on the nodes reach the outside by, as `http://HOST:PORT`; empty: none."""

    http: str = ""
    https: str = ""
    direct: tuple[str, ...] = ()
    """Hosts, ends of names (`.example.org`), addresses and ranges that are asked without one."""

    def __bool__(self) -> bool:
        return bool(self.http or self.https)


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """A cluster as the user asked for it, with all defaults filled in."""

    name: str
    cloud: str = "local"
    image: ImageSpec = field(default_factory=ImageSpec)
    key_pair: str = ""
    """Name of a key pair that is there, whose key may log in on the nodes too; empty: none."""
    public_key: str = ""
    """Its public key, as its cloud says."""
    network: NetworkSpec = field(default_factory=NetworkSpec)
    master: MasterSpec = field(default_factory=MasterSpec)
    workers: WorkersSpec = field(default_factory=WorkersSpec)
    spark: SparkSpec = field(default_factory=SparkSpec)
    hub: HubSpec = field(default_factory=HubSpec)
    packages: PackagesSpec = field(default_factory=PackagesSpec)
    monitoring: bool = False
    """Whether the master gathers metrics of all nodes, and evaluates alerts."""
    proxy: ProxySpec = field(default_factory=ProxySpec)

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles that its nodes have."""
        return ("master", "hub", "worker") if self.hub.node else ("master", "worker")

    @property
    def flavors(self) -> tuple[tuple[str, str], ...]:
        """The fields that name flavors, each with its flavor."""
        own = (("hub.flavor", self.hub.node.flavor),) if self.hub.node else ()
        return (("master.flavor", self.master.flavor), *own, ("workers.flavor", self.workers.flavor))

    @property
    def hub_role(self) -> Role:
        """The role of the node with the Hub, everybody's notebooks, drivers and files: the one that people reach."""
        return "hub" if self.hub.node else "master"

    @property
    def hub_node(self) -> MasterSpec:
        """What was asked for as that node."""
        return self.hub.node or self.master


@dataclass(frozen=True, slots=True)
class Flavor:
    """A size of VM: RAM in MiB, disk in GiB."""

    name: str
    vcpus: int
    ram: int
    disk: int


@dataclass(frozen=True, slots=True)
class ServerSize:
    """A choice at the start of a notebook server: memory in MiB."""

    name: str
    driver_memory: int
    executor_memory: int
    executor_cores: int
    cores: int | None
    """Cores that one notebook may take; None for its user's share."""
    executors: int
    """Executors that a notebook begins with."""


@dataclass(frozen=True, slots=True)
class Sizing:
    """Cores, and memory in MiB, that Spark gets on the spec's flavors (model/cluster/sizing.py)."""

    worker_cores: int
    worker_memory: int
    app_cores: int | None
    """Cores of one notebook, at most; None for its user's share."""
    executor_memory: int
    driver_memory: int
    executor_cores: int
    user_cores: int | None
    """Cores of all notebooks of a user, at most; None for three quarters of the cluster's."""
    initial_executors: int
    user_memory: int
    """Memory of all that one user runs on the master."""
    users_memory: int
    """Memory of all users together there."""
    daemons_memory: int
    """Memory there that the daemons keep, whatever users do."""
    sizes: tuple[ServerSize, ...] = ()
    """What users choose from when they start a server, smallest first; `medium` is the default, and always there."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """A cluster's secrets. They are kept in its folder on the operator's machine, and never printed."""

    spark_secret: str = field(repr=False)
    hub_cert: str = field(repr=False)
    hub_key: str = field(repr=False)
    authority: str = field(repr=False)
    """PEM of the CA that signed `hub_cert`, or the user's own certificate chain."""
    password_hashes: tuple[tuple[str, str], ...] = field(repr=False, default=())
    """User names with the crypt(3) hashes of their first passwords."""
    operator_public_key: str = ""
    executor_key: str = field(repr=False, default="")
    """Hex; with it, workers check which user an application belongs to."""
    uids: tuple[tuple[str, int], ...] = ()
    """User names with their ids on every node: those of their files, whatever node has made them."""
    login_secret: str = field(repr=False, default="")
    """What the Hub shows to the login server (hub.login): a client's secret, or a password."""
    gids: tuple[tuple[str, int], ...] = ()
    """Groups (hub.users[].groups) with their ids on every node."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses that exist before any server: the master's in the cluster, and where people reach the Hub."""

    master: str
    floating: str
    own_hub: str = ""
    """In the cluster, that of the Hub's own node; empty: the Hub is on the master."""

    @property
    def hub(self) -> str:
        """The address in the cluster of the node with the Hub."""
        return self.own_hub or self.master


@dataclass(frozen=True, slots=True)
class CloudProject:
    """A project of a cloud, in one region: where a cluster is. Project and region stay when clouds.yaml changes."""

    cloud: str
    """The name that it has in clouds.yaml."""
    auth_url: str = ""
    project: str = ""
    """The project's id."""
    region: str = ""

    def same(self, other: CloudProject) -> bool:
        """Whether it is the same project, whatever it is called."""
        regions = {self.region, other.region} - {""}
        return self.project == other.project and len(regions) < 2


@dataclass(frozen=True, slots=True)
class Node:
    """A live node."""

    name: str
    role: Role
    address: str
    """Its address inside the cluster."""
    id: str = ""
    """Its server's id in the cloud."""
    status: str = ""
    """Its server's status in the cloud."""
    host_keys: tuple[str, ...] = ()
    """SSH host keys, as `ssh-ed25519 AAAA…`."""
