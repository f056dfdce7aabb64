"""The `local` cloud as data: its settings, its rendered documents and what Compose is told; touches nothing."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any, Final

from provision.base.constants import (
    LOCALCLOUD_LABEL,
    LOCALCLOUD_PORTS,
    MANAGEMENT_NETWORK,
    PROVIDER_NETWORK,
    TUNNEL_NETWORK,
    UPLINK_NETWORK,
    LocalCloudPorts,
)
from provision.model.localcloud import ovn
from provision.model.localcloud.image_families import FAMILIES
from provision.model.localcloud.replicas import MAX_REPLICAS, SCALABLE_NAMES, SCALABLE_SERVICES, SPREAD, count, variable
from provision.model.templating import render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address
    from pathlib import Path

PROJECT: Final = "provision"
"""The control plane's Compose project; a hypervisor's is this, a dash and its name."""
LABEL: Final = LOCALCLOUD_LABEL
"""On every container, network and volume of ours: how they are found again."""
REGION: Final = "RegionOne"
EXTERNAL_NETWORK: Final = "public"
PHYSICAL_NETWORK: Final = "provider"
MIGRATED: Final = ("keystone", "placement", "glance", "nova", "neutron")
"""Families with a database, in the order in which they are brought to their schema."""
INFRASTRUCTURE: Final = ("consul", "registrator", "mariadb", "rabbitmq", "memcached", "haproxy", "ovn")
"""What has to run before a migration can."""
CLUSTERED: Final = ("mariadb", "rabbitmq", "memcached")
"""What has three members when that is asked for (compose/ha.yaml); their names are these with a number."""
MEMBERS: Final = 3
NEED_ACCOUNTS: Final = ("nova-conductor",)
"""What logs in to Keystone when it starts, and ends when it can't."""
EARLY: Final = ("netns", "switch", "libvirt")
"""What of a hypervisor needs nothing of the control plane but OVN's databases."""

CONSUL_CLIENTS: Final = ("registrator", "mariadb")
"""Families that write to Consul: each has a token of its own (consul_acl.py) as /config/consul-token."""
PASSWORDS: Final = (
    "keystone_db", "glance_db", "placement_db", "nova_db", "neutron_db", "rabbitmq", "metadata",
    "admin", "glance", "placement", "nova", "neutron", "provision", "horizon", "erlang_cookie",
    "consul_gossip", "consul_management", *(f"consul_{family}" for family in CONSUL_CLIENTS),
    # Of several hosts only: what every copy of Keystone has to have, and the registry's own.
    "keystone_fernet", "keystone_credential", "registry",
)  # fmt: skip
"""What is generated once per installation, one secret each."""

_DATABASES: Final = (
    ("keystone", "keystone"), ("glance", "glance"), ("placement", "placement"), ("nova", "nova"),
    ("nova_api", "nova"), ("nova_cell0", "nova"), ("neutron", "neutron"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GivenTls:
    """A certificate (PEM, chain included) and key that the user has brought, and the name that it is for."""

    host: str
    cert: Path
    key: Path
    authority: Path | None = None
    """What signed it, where that is nobody whom everybody knows."""


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
    """How many copies of a service run, where it is not one."""
    tls: GivenTls | None = None
    """The user's own certificate; None: the installation makes its own."""
    ha: bool = False
    """Whether what keeps state has three members, on this machine or several."""
    swarm: bool = False
    """Whether the control plane is spread over the hosts of a Swarm (model/localcloud/swarm.py)."""
    members: tuple[str, ...] = ()
    """The addresses of the Swarm's hosts that carry the members, in the order of their numbers."""

    @property
    def families(self) -> frozenset[str]:
        """The kinds of image that the cloud itself runs."""
        idle = {each.family for each in SCALABLE_SERVICES if not each.least and not self.replicas_of(each.service)}
        elsewhere = set() if self.swarm else {"registry"}
        return frozenset(family.name for family in FAMILIES) - {"bake"} - idle - elsewhere

    def replicas_of(self, service: str) -> int:
        """Say how many copies, or members, of a service shall run; on several hosts two copies are the default."""
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
        """By which name users reach the APIs; it leads to this machine's loopback address."""
        return self.tls.host if self.tls else "127.0.0.1"

    def public_url(self, port: int, path: str = "") -> str:
        """Write an API's address for this machine."""
        return f"https://{self.host}:{port}{path}"

    def local_url(self, port: int) -> str:
        """Write the address of what has no users but this machine's operator: Consul and HAProxy's page."""
        return f"http://127.0.0.1:{port}"

    def internal_url(self, port: int, path: str = "") -> str:
        """Write an API's address for containers."""
        return f"http://{peer('haproxy')}:{port}{path}"


@dataclass(frozen=True, slots=True)
class Bridge:
    """A Docker network that hypervisors on one machine share."""

    name: str
    subnet: IPv4Network
    internal: bool
    range: IPv4Network | None = None
    gateway: IPv4Address | None = None
    device: str = ""


def bridges(settings: Settings) -> tuple[Bridge, ...]:
    """List a machine's networks beside the control plane's own: floating IPs (Docker masquerades what leaves), tunnels.

    On several hosts tunnels go through a network of the Swarm, and OVN's databases are outside of all of these.
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
    """One request may take an hour: an image goes through it."""
    public: bool = True
    """Users reach it on this machine's own address, by TLS."""
    private: bool = True
    """Containers reach it, without TLS: their network is this installation's own."""
    idle: bool = False
    """No copy of it is asked for."""

    @property
    def awaited(self) -> bool:
        """Whether it shall answer on this machine's own address."""
        return self.public and not self.idle


def apis(settings: Settings) -> tuple[Api, ...]:
    """List what is behind HAProxy; those without a type are not in Keystone's catalogue."""
    ports = settings.ports
    return (
        Api("keystone", ports.keystone, "/v3", "identity", "", "/v3"),
        Api("glance", ports.glance, "/healthcheck", "image", "glance", slow=True),
        Api("placement", ports.placement, "/", "placement", "placement"),
        Api("nova-api", ports.nova_api, "/", "compute", "nova", "/v2.1"),
        Api("nova-metadata", ports.nova_metadata, "/", public=False),
        Api("neutron", ports.neutron, "/", "network", "neutron"),
        # Its first page sends everybody on to the login page: it costs little, and all of Django is asked.
        Api("horizon", ports.horizon, "/", private=False, idle=not settings.replicas_of("horizon")),
    )


def peer(service: str) -> str:
    """Name a service as Consul's DNS does."""
    return f"{service}.service.consul"


def members(settings: Settings, service: str) -> tuple[str, ...]:
    """Name a clustered service's members: the first is always there."""
    return tuple(f"{service}-{number}" for number in range(1, settings.replicas_of(service) + 1))


def services_of(settings: Settings, service: str) -> tuple[str, ...]:
    """Name the Compose services that a service consists of: itself, and its further members where it has some."""
    return (service, *(members(settings, service)[1:] if service in CLUSTERED else ()))


def member_services(settings: Settings) -> tuple[str, ...]:
    """Name the Compose services of all members but the first of each."""
    return tuple(name for service in CLUSTERED for name in services_of(settings, service)[1:])


def base_service(name: str) -> str:
    """Name the service that a Compose service is a member of; all others are themselves."""
    service, _, number = name.rpartition("-")
    return service if service in CLUSTERED and number.isdecimal() else name


def _peers(settings: Settings) -> dict[str, object]:
    """Name what is reached by name: with several members of MariaDB, HAProxy sends everybody to the same one."""
    alone = {name: peer(name) for name in ("mariadb", "rabbitmq", "memcached", "haproxy")}
    caches = [f"{number}.{peer('memcached')}" for number in range(1, MEMBERS + 1)]
    return alone | {
        "database": peer("haproxy" if settings.ha else "mariadb"),
        "caches": caches if settings.ha else [alone["memcached"]],
        "brokers": [peer(name) for name in members(settings, "rabbitmq")],
    }


def documents(
    settings: Settings, passwords: Mapping[str, str], ovn_tls: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Render every configuration file: `<family>/<file>`, as it lies in the folder that containers see as /config.

    `ovn_tls` are the files (model/localcloud/ovn.py) with which one speaks to OVN's databases on several hosts.
    """
    context: dict[str, Any] = {
        "passwords": passwords,
        "ha": settings.ha,
        "peer": _peers(settings),
        "ports": settings.ports,
        "identity_url": settings.internal_url(settings.ports.keystone, "/v3"),
        "ovn": ovn.context(settings),
        "physical_network": PHYSICAL_NETWORK,
        "region": REGION,
    }

    def one(template: str, **more: object) -> str:
        return render(f"openstack/{template}.j2", **context, **more)

    return {
        # 127.0.0.11 is Docker's own resolver inside a container: it asks what the host asks.
        "consul/consul.json": one(
            "consul.json", recursors=["127.0.0.11"], script_checks=False, **_consul_server(settings)
        ),
        **{f"{family}/consul-token": passwords[f"consul_{family}"] for family in CONSUL_CLIENTS},
        "haproxy/haproxy.cfg": one(
            "haproxy.cfg",
            # On several hosts: the host's own, whose address it follows (compose/haproxy/entrypoint).
            consul_address=None if settings.swarm else settings.consul,
            services=[_proxied(api) for api in apis(settings)],
            members=MEMBERS if settings.ha else 0,
        ),
        "mariadb/mariadb.sql": one("mariadb.sql", databases=_DATABASES),
        "rabbitmq/rabbitmq.conf": one("rabbitmq.conf"),
        "rabbitmq/erlang-cookie": passwords["erlang_cookie"],
        "rabbitmq/definitions.json": one("rabbitmq.json", rabbitmq_hash=rabbitmq_hash(passwords["rabbitmq"])),
        "keystone/keystone.conf": one("keystone.conf"),
        "keystone/admin-password": passwords["admin"],
        "glance/glance.conf": one("glance.conf"),
        "placement/placement.conf": one("placement.conf"),
        "nova/nova.conf": one("nova.conf"),
        "nova/nova-compute-kvm.conf": one("nova-compute.conf", virt_type="kvm"),
        "nova/nova-compute-qemu.conf": one("nova-compute.conf", virt_type="qemu"),
        "neutron/neutron.conf": one("neutron.conf"),
        "neutron/ml2_conf.ini": one("ml2_conf.ini"),
        "neutron/metadata_agent.ini": one("metadata_agent.ini"),
        "horizon/local_settings.py": one("horizon.py"),
        **ovn.documents(ovn_tls or {}),
        **(_shared(passwords) if settings.swarm else {}),
    }


def _consul_server(settings: Settings) -> dict[str, object]:
    """Say who a server of Consul is: the only one, or one of a Swarm's, whose name is its host's (its entrypoint)."""
    if not settings.swarm:
        return {"node_name": PROJECT, "address": str(settings.consul)}
    own = f'{{{{ GetAllInterfaces | include "network" "{settings.management}" | limit 1 | attr "address" }}}}'
    return {"address": own, "servers": MEMBERS, "retry_join": ["consul"]}


def _shared(passwords: Mapping[str, str]) -> dict[str, str]:
    """Render what copies on several hosts cannot have from one volume."""
    return {
        "keystone/fernet-key": passwords["keystone_fernet"],
        "keystone/credential-key": passwords["keystone_credential"],
        "registry/password": passwords["registry"],
    }


def _proxied(api: Api) -> dict[str, object]:
    service: dict[str, object] = {"name": api.name, "port": api.port, "health": api.health, "private": api.private}
    service["copies"] = MAX_REPLICAS + 1
    if api.public:
        service["tls_port"] = tls_port(api.port)
    if api.slow:
        service["timeout"] = "1h"
    return service


def tls_port(port: int) -> int:
    """Say on which port HAProxy's container has by TLS what this machine has on `port`."""
    return port + 10_000


def rabbitmq_hash(password: str) -> str:
    """Hash a password as RabbitMQ's definitions want it; the salt follows from it, so that the file never changes."""
    salt = hashlib.sha256(b"salt" + password.encode()).digest()[:4]
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def digest(*texts: str) -> str:
    """Hash texts to 12 hex digits."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]


def migration_inputs(settings: Settings, tags: Mapping[str, str], passwords: Mapping[str, str]) -> dict[str, str]:
    """Say for each family what its database was migrated with when there is nothing left to do.

    Keystone's migration also makes the administrator and its own endpoints, so it depends on those.
    """
    port = settings.ports.keystone
    urls = (settings.public_url(port), settings.internal_url(port))
    return {family: tags[family] for family in MIGRATED} | {
        "keystone": f"{tags['keystone']}-{digest(passwords['admin'], REGION, *urls)}"
    }


def configurations(rendered: Mapping[str, str]) -> dict[str, str]:
    """Hash each family's rendered documents."""
    families = {name.partition("/")[0] for name in rendered}
    texts = {
        family: sorted(item for item in rendered.items() if item[0].startswith(f"{family}/")) for family in families
    }
    return {family: digest(*(f"{name}={text}" for name, text in mine)) for family, mine in texts.items()}


def placed(rendered: Mapping[str, str]) -> dict[str, str]:
    """Give each document its place in the folder of all: `<family>/<hash>/<file>`.

    A container that was made from other documents keeps them, and finds them again when it is restarted.
    """
    hashes = configurations(rendered)
    parts = ((name.partition("/"), text) for name, text in rendered.items())
    return {f"{family}/{hashes[family]}/{file}": text for (family, _, file), text in parts}


def environment(
    settings: Settings, tags: Mapping[str, str], rendered: Mapping[str, str], inputs: Mapping[str, str], etc: Path
) -> dict[str, str]:
    """Give Compose the values of stack.yaml, no secret among them; `etc` holds the rendered documents."""
    values = {
        "CONFIG": str(etc),
        "REGION": REGION,
        "CONSUL_ADDRESS": str(settings.consul),
        "MANAGEMENT_NETWORK": str(settings.management),
        # The fixed addresses lie below, in the first 1/2 of the network.
        "MANAGEMENT_RANGE": str(list(settings.management.subnets(1))[1]),
        "PROVIDER_NETWORK": str(settings.provider),
        "TUNNEL_NETWORK": str(settings.tunnel),
        "PHYSICAL_NETWORK": PHYSICAL_NETWORK,
        "PEER_CONSUL": peer("consul"),
        "PEER_MARIADB": peer("mariadb"),
        "PEER_RABBITMQ": peer("rabbitmq"),
        "MARIADB_MEMBERS": ",".join(members(settings, "mariadb")),
        "RABBITMQ_MEMBERS": ",".join(members(settings, "rabbitmq")),
        "KEYSTONE_PUBLIC_URL": settings.public_url(settings.ports.keystone, "/v3/"),
        "KEYSTONE_INTERNAL_URL": settings.internal_url(settings.ports.keystone, "/v3/"),
        "PLACEMENT_INTERNAL_URL": settings.internal_url(settings.ports.placement, "/"),
        "CONSUL_PORT": str(settings.ports.consul),
        "REGISTRY_PORT": str(settings.ports.registry),
        "HAPROXY_STATS_PORT": str(settings.ports.haproxy_stats),
        # The number of the copy that is started next; Compose is told another where it is another.
        "COPY": "1",
    }
    values |= ovn.environment(settings)
    values |= {variable(service): str(settings.replicas_of(service)) for service in SCALABLE_NAMES}
    for api in apis(settings):
        if api.public:
            name = api.name.upper().replace("-", "_")
            values |= {f"{name}_PORT": str(api.port), f"{name}_TLS_PORT": str(tls_port(api.port))}
    for family, tag in tags.items():
        values[f"{family.upper()}_TAG"] = tag
    # In a container's environment this makes Compose replace the containers whose configuration has changed.
    values |= {f"{family.upper()}_CONFIG": value for family, value in configurations(rendered).items()}
    for family, value in inputs.items():
        values[f"{family.upper()}_INPUTS"] = value
    return values


def env_file(values: Mapping[str, str]) -> str:
    """Write values as a file for Compose's --env-file."""
    return "".join(f"{key}={value}\n" for key, value in sorted(values.items()))
