"""What a user may choose of the `local` cloud, and what follows from it: names, addresses, ports, APIs, members."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Final

from provision.base.constants import (
    LOCALCLOUD_LABEL,
    LOCALCLOUD_PORTS,
    MANAGEMENT_NETWORK,
    PROVIDER_NETWORK,
    TUNNEL_NETWORK,
    UPLINK_NETWORK,
    LocalCloudPorts,
)
from provision.base.model import Flavor
from provision.model.localcloud.image_families import FAMILIES
from provision.model.localcloud.replicas import SCALABLE_SERVICES, SPREAD, count

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address
    from pathlib import Path

PROJECT: Final = "provision"
"""The control plane's Compose project. A hypervisor's project is this, a dash and the hypervisor's name."""
LABEL: Final = LOCALCLOUD_LABEL
"""Label on every container, network and volume of the local cloud; they are found by it."""
REGION: Final = "RegionOne"
EXTERNAL_NETWORK: Final = "public"
FLAVORS: Final = (
    Flavor("m1.tiny", 1, 512, 4),
    Flavor("m1.small", 2, 2048, 8),
    Flavor("m1.medium", 2, 4096, 16),
    Flavor("m1.large", 4, 8192, 32),
)
PHYSICAL_NETWORK: Final = "provider"
MIGRATED: Final = ("keystone", "placement", "glance", "nova", "neutron")
"""Families with a database, in the order in which their schemas are migrated."""
INFRASTRUCTURE: Final = (
    "consul", "registrator", "mariadb", "rabbitmq", "memcached", "haproxy", "ovn", "restart-hypervisor",
)  # fmt: skip
"""Services that are started first: with them a database can be migrated."""
CLUSTERED: Final = ("mariadb", "rabbitmq", "memcached")
"""Services that have three members with `--ha` (compose/ha.yaml). The further members' names end in a number."""
MEMBERS: Final = 3
USUAL_MTU: Final = 1500
VXLAN_BYTES: Final = 50
"""What VXLAN takes of each packet between the hosts of a Swarm."""
OVERLAY_MTU: Final = USUAL_MTU - VXLAN_BYTES
"""MTU of a Swarm's network where the hosts' own is the usual one."""
EARLY: Final = ("netns", "switch", "libvirt")
"""A hypervisor's services that need nothing of the control plane except OVN's databases."""

MONITORING: Final = ("monitoring", "monitoring-alerts", "monitoring-mariadb", "monitoring-host", "monitoring-probe")
"""Services that run where monitoring is on (compose/monitoring.yaml); all are of the family `monitoring`."""
METRICS_USER: Final = "provision"
"""Account of the store of metrics (compose/monitoring/entrypoint)."""
CONSUL_CLIENTS: Final = ("registrator", "mariadb", "monitoring")
"""Families with a token of their own for Consul (consul_acl.py), as /config/consul-token."""
PASSWORDS: Final = (
    "keystone_db", "glance_db", "placement_db", "nova_db", "neutron_db", "rabbitmq", "metadata",
    "admin", "glance", "placement", "nova", "neutron", "provision", "horizon", "erlang_cookie",
    "consul_gossip", "consul_management", *(f"consul_{family}" for family in CONSUL_CLIENTS),
    "monitoring", "monitoring_db",
    # Used on several hosts only: the keys that all replicas of Keystone share, and the registry's password.
    "keystone_fernet", "keystone_credential", "registry",
)  # fmt: skip
"""Names of the secrets that are generated once per local cloud."""


@dataclass(frozen=True, slots=True)
class GivenTls:
    """A certificate (PEM, with its chain) and key that the user provides, and the host name it is for."""

    host: str
    cert: Path
    key: Path
    authority: Path | None = None
    """CA that signed `cert`; None if publicly trusted."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may choose of the `local` cloud. Networks are /24 or larger."""

    management: IPv4Network = MANAGEMENT_NETWORK
    provider: IPv4Network = PROVIDER_NETWORK
    tunnel: IPv4Network = TUNNEL_NETWORK
    uplink: IPv4Network = UPLINK_NETWORK
    ports: LocalCloudPorts = LOCALCLOUD_PORTS
    hypervisors: tuple[str, ...] = ("compute-1",)
    replicas: Mapping[str, int] = field(default_factory=dict)
    """Number of replicas by service, for the services where the user chose one."""
    tls: GivenTls | None = None
    """The user's own certificate; None: the local cloud makes its own."""
    ha: bool = False
    """Whether the stateful services have three members, on this machine or on several."""
    swarm: bool = False
    """Whether the control plane is spread over the hosts of a Swarm (model/localcloud/swarm.py)."""
    monitoring: bool = False
    """Whether metrics are gathered, and alerts evaluated."""
    members: tuple[str, ...] = ()
    """Addresses of the Swarm's hosts that carry the members, in the order of the members' numbers."""
    overlay_mtu: int = OVERLAY_MTU
    """MTU of the Swarm's networks."""

    @property
    def families(self) -> frozenset[str]:
        """The image families that the cloud itself runs."""
        idle = {each.family for each in SCALABLE_SERVICES if not each.least and not self.replicas_of(each.service)}
        swarm_only = set() if self.swarm else {"registry"}
        unmonitored = set() if self.monitoring and not self.swarm else {"monitoring"}
        return frozenset(family.name for family in FAMILIES) - {"bake"} - idle - swarm_only - unmonitored

    def replicas_of(self, service: str) -> int:
        """Return how many replicas, or members, of a service should run. The default on several hosts is two."""
        if self.ha and service in CLUSTERED:
            return MEMBERS
        return count(service, dict.fromkeys(SPREAD, 2) | dict(self.replicas) if self.swarm else self.replicas)

    @property
    def consul(self) -> IPv4Address:
        """Consul's fixed address: every container's DNS server."""
        return self.management[2]

    @property
    def ovn(self) -> IPv4Address:
        """The fixed address of OVN's databases."""
        return self.management[3]

    @property
    def gateway(self) -> IPv4Address:
        """This machine's own address in the provider network."""
        return self.provider[1]

    @property
    def floating(self) -> tuple[IPv4Address, IPv4Address]:
        """The first and the last floating IP."""
        return self.provider[100], self.provider[250]

    @property
    def host(self) -> str:
        """Host name or address by which users reach the APIs; it resolves to this machine's loopback address."""
        return self.tls.host if self.tls else "127.0.0.1"

    @property
    def hosts(self) -> tuple[str, ...]:
        """All names by which users of this machine may come to Horizon; the one that they are sent to is `host`."""
        return tuple(dict.fromkeys((self.host, "127.0.0.1", "localhost")))

    def public_url(self, port: int, path: str = "") -> str:
        """Return the URL of an API for users of this machine."""
        return f"https://{self.host}:{port}{path}"

    def local_url(self, port: int) -> str:
        """Return the URL of a service for this machine's operator only: Consul and HAProxy's statistics page."""
        return f"http://127.0.0.1:{port}"

    def internal_url(self, port: int, path: str = "") -> str:
        """Return the URL of an API for containers."""
        return f"http://{peer('haproxy')}:{port}{path}"


@dataclass(frozen=True, slots=True)
class Bridge:
    """A Docker network that the hypervisors on one machine share."""

    name: str
    subnet: IPv4Network
    internal: bool
    range: IPv4Network | None = None
    gateway: IPv4Address | None = None
    device: str = ""


def bridges(settings: Settings) -> tuple[Bridge, ...]:
    """List a machine's networks for hypervisors: floating IPs (Docker masquerades outgoing traffic), and tunnels.

    On several hosts the tunnels go through a network of the Swarm, and the hypervisors reach OVN's databases through
    the uplink.
    """
    # Containers' addresses stay below the floating IPs.
    low = IPv4Network((settings.provider.network_address, 27))
    return (
        Bridge(f"{PROJECT}_provider", settings.provider, False, low, settings.gateway, "br-provision"),
        Bridge(f"{PROJECT}_uplink", settings.uplink, False)
        if settings.swarm
        else Bridge(f"{PROJECT}_tunnel", settings.tunnel, True),
    )


@dataclass(frozen=True, slots=True)
class Api:
    """A service behind HAProxy: name in Consul, port, a path that answers below 400, type, account, catalogue path."""

    name: str
    port: int
    health: str
    type: str = ""
    user: str = ""
    path: str = ""
    slow: bool = False
    """Whether one request may take an hour: images are uploaded through it."""
    public: bool = True
    """Whether users reach it on this machine's own address, with TLS."""
    private: bool = True
    """Whether containers reach it, without TLS: the management network is this local cloud's own."""
    idle: bool = False
    """Whether it should have no replica."""
    processes: int = 1
    threads: int = 1
    """In each process of a replica."""

    @property
    def at_once(self) -> int:
        """Requests that a replica is given at once, so that it answers health checks however many wait."""
        return self.processes * self.threads - self.slow

    @property
    def awaited(self) -> bool:
        """Whether it should answer on this machine's own address."""
        return self.public and not self.idle


def apis(settings: Settings) -> tuple[Api, ...]:
    """List the services behind HAProxy; those without a type are not in Keystone's catalogue."""
    ports = settings.ports
    return (
        Api("keystone", ports.keystone, "/v3", "identity", "", "/v3", threads=4),
        # One thread is there for health checks alone, while all others take images.
        Api("glance", ports.glance, "/healthcheck", "image", "glance", slow=True, threads=5),
        Api("placement", ports.placement, "/", "placement", "placement", threads=4),
        # Nova's API does not support threads. It has a second process, since a call may wait long for a hypervisor.
        Api("nova-api", ports.nova_api, "/", "compute", "nova", "/v2.1", processes=2),
        Api("nova-metadata", ports.nova_metadata, "/", public=False),
        # One process may be busy with OVN for long; the other one answers the health checks.
        Api("neutron", ports.neutron, "/", "network", "neutron", processes=2),
        # Its first page redirects to the login page: a cheap request that still goes through all of Django.
        Api("horizon", ports.horizon, "/", private=False, idle=not settings.replicas_of("horizon"), threads=4),
    )


def reserved_names() -> tuple[str, ...]:
    """List the names of services in Consul that are this local cloud's own, whether it runs them now or not."""
    numbered = (f"{service}-{number}" for service in CLUSTERED for number in range(1, MEMBERS + 1))
    names = {*INFRASTRUCTURE, *MONITORING, "consul-ui", "registry", *numbered, *(api.name for api in apis(Settings()))}
    return tuple(sorted(names))


def tls_port(port: int) -> int:
    """Return the port inside HAProxy's container that serves, with TLS, what this machine publishes on `port`."""
    return port + 10_000


def peer(service: str) -> str:
    """Return a service's name in Consul's DNS."""
    return f"{service}.service.consul"


def members(settings: Settings, service: str) -> tuple[str, ...]:
    """Name the members of a clustered service. The first always exists."""
    return tuple(f"{service}-{number}" for number in range(1, settings.replicas_of(service) + 1))


def services_of(settings: Settings, service: str) -> tuple[str, ...]:
    """Name the Compose services that a service consists of: itself, and its further members if it has any."""
    return (service, *(members(settings, service)[1:] if service in CLUSTERED else ()))


def member_services(settings: Settings) -> tuple[str, ...]:
    """Name the Compose services of all members except the first of each clustered service."""
    return tuple(name for service in CLUSTERED for name in services_of(settings, service)[1:])


def base_service(name: str) -> str:
    """Return the service that a Compose service is a member of; for all others, the name itself."""
    service, _, number = name.rpartition("-")
    return service if service in CLUSTERED and number.isdecimal() else name
