"""The `local` cloud's rendered files: configuration documents, and the values that Compose gets."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any, Final

from provision.model.localcloud import ovn
from provision.model.localcloud.monitoring.jobs import PROBE, jobs, probed
from provision.model.localcloud.monitoring.rules import alert_rules
from provision.model.localcloud.replicas import MAX_REPLICAS, SCALABLE_NAMES, replicas_variable, variable_name
from provision.model.localcloud.settings import (
    CONSUL_CLIENTS,
    LABEL,
    MEMBERS,
    METRICS_USER,
    MIGRATED,
    MONITORING,
    PHYSICAL_NETWORK,
    PROJECT,
    REGION,
    apis,
    members,
    peer,
    reserved_names,
    tls_port,
)
from provision.model.templating import render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from provision.model.localcloud.settings import Api, Settings

_DATABASES: Final = (
    ("keystone", "keystone"), ("glance", "glance"), ("placement", "placement"), ("nova", "nova"),
    ("nova_api", "nova"), ("nova_cell0", "nova"), ("neutron", "neutron"),
)  # fmt: skip
"""Each database and the account that owns it."""


def documents(
    settings: Settings,
    passwords: Mapping[str, str],
    ovn_tls: Mapping[str, str] | None = None,
    name_servers: Sequence[str] = (),
) -> dict[str, str]:
    """Render every configuration file. Keys are `<family>/<file>`; a family's containers see its files in /config.

    `ovn_tls` holds the certificate files for OVN's databases on several hosts (model/localcloud/ovn.py);
    `name_servers`: whom VMs ask for names where their subnet says nothing else.
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

    def document(template: str, **more: object) -> str:
        return render(f"openstack/{template}.j2", **context, **more)

    return {
        # 127.0.0.11 is Docker's own resolver inside a container: it asks what the host asks.
        "consul/consul.json": document(
            "consul.json", recursors=["127.0.0.11"], script_checks=False, **_consul_server(settings)
        ),
        **{f"{family}/consul-token": passwords[f"consul_{family}"] for family in CONSUL_CLIENTS},
        "haproxy/haproxy.cfg": document(
            "haproxy.cfg",
            # On several hosts it is the host's own Consul, whose address may change (compose/haproxy/entrypoint).
            consul_address=None if settings.swarm else settings.consul,
            services=[_haproxy_service(api) for api in apis(settings)],
            members=MEMBERS if settings.ha else 0,
        ),
        "mariadb/mariadb.sql": document("mariadb.sql", databases=_DATABASES),
        "rabbitmq/rabbitmq.conf": document("rabbitmq.conf"),
        "rabbitmq/enabled_plugins": "[rabbitmq_prometheus].\n",
        "rabbitmq/erlang-cookie": passwords["erlang_cookie"],
        "rabbitmq/definitions.json": document("rabbitmq.json", rabbitmq_hash=rabbitmq_hash(passwords["rabbitmq"])),
        "keystone/keystone.conf": document("keystone.conf"),
        "keystone/admin-password": passwords["admin"],
        "glance/glance.conf": document(
            "glance.conf", origins=[f"https://{host}:{settings.ports.horizon}" for host in settings.hosts]
        ),
        "placement/placement.conf": document("placement.conf"),
        "nova/nova.conf": document("nova.conf"),
        "nova/nova-compute-kvm.conf": document("nova-compute.conf", virt_type="kvm"),
        "nova/nova-compute-qemu.conf": document("nova-compute.conf", virt_type="qemu"),
        "neutron/neutron.conf": document("neutron.conf"),
        "neutron/ml2_conf.ini": document("ml2_conf.ini", name_servers=name_servers),
        "neutron/metadata_agent.ini": document("metadata_agent.ini"),
        "horizon/local_settings.py": document(
            "horizon.py",
            hosts=settings.hosts,
            metrics_url=f"http://{MONITORING[0]}:{settings.ports.monitoring}",
            metrics_user=METRICS_USER,
        ),
        "monitoring/scrape.yaml": document(
            "scrape.yaml", consul=peer("consul"), jobs=jobs(settings), apis=probed(settings), probe=PROBE
        ),
        "monitoring/alerts.yaml": render(
            "monitoring/alerts.yaml.j2", monitoring={"group": "local-cloud", "rules": alert_rules(settings)}
        ),
        "monitoring/mariadb.cnf": document("monitoring.cnf"),
        "monitoring/password": passwords["monitoring"],
        **ovn.documents(ovn_tls or {}),
        **(_shared_secrets(passwords) if settings.swarm else {}),
    }


def _peers(settings: Settings) -> dict[str, object]:
    """Return the names by which services find each other. With several MariaDB members, clients go through HAProxy."""
    single = {name: peer(name) for name in ("mariadb", "rabbitmq", "memcached", "haproxy")}
    caches = [f"{number}.{peer('memcached')}" for number in range(1, MEMBERS + 1)]
    return single | {
        "database": peer("haproxy" if settings.ha else "mariadb"),
        "caches": caches if settings.ha else [single["memcached"]],
        "brokers": [peer(name) for name in members(settings, "rabbitmq")],
    }


def _consul_server(settings: Settings) -> dict[str, object]:
    """Return how a Consul server identifies itself: the only one, or one of a Swarm's, named after its host."""
    if not settings.swarm:
        return {"node_name": PROJECT, "address": str(settings.consul)}
    own = f'{{{{ GetAllInterfaces | include "network" "{settings.management}" | limit 1 | attr "address" }}}}'
    return {"address": own, "servers": MEMBERS, "retry_join": ["consul"]}


def _shared_secrets(passwords: Mapping[str, str]) -> dict[str, str]:
    """Render the secrets that replicas on several hosts cannot share through a volume."""
    return {
        "keystone/fernet-key": passwords["keystone_fernet"],
        "keystone/credential-key": passwords["keystone_credential"],
        "registry/password": passwords["registry"],
    }


def _haproxy_service(api: Api) -> dict[str, object]:
    service: dict[str, object] = {"name": api.name, "port": api.port, "health": api.health, "private": api.private}
    service |= {"replicas": MAX_REPLICAS + 1, "at_once": api.at_once}
    if api.public:
        service["tls_port"] = tls_port(api.port)
    if api.slow:
        service["timeout"] = "1h"
    return service


def rabbitmq_hash(password: str) -> str:
    """Hash a password for RabbitMQ's definitions. The salt is derived from it, so that the file does not change."""
    salt = hashlib.sha256(b"salt" + password.encode()).digest()[:4]
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def digest(*texts: str) -> str:
    """Hash texts to 12 hex digits."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]


def migration_inputs(settings: Settings, tags: Mapping[str, str], passwords: Mapping[str, str]) -> dict[str, str]:
    """Return, for each family, what a database that is up to date was migrated with.

    Keystone's migration also makes the administrator and Keystone's own endpoints, so it depends on those.
    """
    port = settings.ports.keystone
    urls = (settings.public_url(port), settings.internal_url(port))
    return {family: tags[family] for family in MIGRATED} | {
        "keystone": f"{tags['keystone']}-{digest(passwords['admin'], REGION, *urls)}"
    }


def configurations(rendered: Mapping[str, str]) -> dict[str, str]:
    """Hash each family's rendered documents."""
    families = {name.partition("/")[0] for name in rendered}
    documents_of = {
        family: sorted(item for item in rendered.items() if item[0].startswith(f"{family}/")) for family in families
    }
    return {family: digest(*(f"{name}={text}" for name, text in found)) for family, found in documents_of.items()}


def placed(rendered: Mapping[str, str]) -> dict[str, str]:
    """Return each document with its path in the folder of rendered documents: `<family>/<hash>/<file>`.

    A container keeps the documents that it was made from, and finds them again when it is restarted.
    """
    hashes = configurations(rendered)
    parts = ((name.partition("/"), text) for name, text in rendered.items())
    return {f"{family}/{hashes[family]}/{file}": text for (family, _, file), text in parts}


def environment(
    settings: Settings, tags: Mapping[str, str], rendered: Mapping[str, str], inputs: Mapping[str, str], etc: Path
) -> dict[str, str]:
    """Return the variables of compose/*.yaml; none is a secret. `etc` is the folder of the rendered documents."""
    values = {
        "CONFIG": str(etc),
        "REGION": REGION,
        "CONSUL_ADDRESS": str(settings.consul),
        "MANAGEMENT_NETWORK": str(settings.management),
        # The fixed addresses are in the first half of the network.
        "MANAGEMENT_RANGE": str(list(settings.management.subnets(1))[1]),
        "PROVIDER_NETWORK": str(settings.provider),
        "TUNNEL_NETWORK": str(settings.tunnel),
        "PHYSICAL_NETWORK": PHYSICAL_NETWORK,
        "LOCALCLOUD_LABEL": LABEL,
        "RESERVED_NAMES": ",".join(reserved_names()),
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
        "MONITORING_PORT": str(settings.ports.monitoring),
        # The number of the replica that is started next; whoever starts another one overrides it.
        "REPLICA": "1",
    }
    values |= ovn.environment(settings)
    values |= {replicas_variable(service): str(settings.replicas_of(service)) for service in SCALABLE_NAMES}
    for api in apis(settings):
        name = variable_name(api.name)
        values |= {f"{name}_PROCESSES": str(api.processes), f"{name}_THREADS": str(api.threads)}
        if api.public:
            values |= {f"{name}_PORT": str(api.port), f"{name}_TLS_PORT": str(tls_port(api.port))}
    for family, tag in tags.items():
        values[f"{variable_name(family)}_TAG"] = tag
    # A container has this in its environment, so that Compose replaces it when its configuration has changed.
    values |= {f"{variable_name(family)}_CONFIG": value for family, value in configurations(rendered).items()}
    for family, value in inputs.items():
        values[f"{variable_name(family)}_INPUTS"] = value
    return values


def env_file(values: Mapping[str, str]) -> str:
    """Write values as a file of lines `NAME=value`; adapters/docker/compose.py gives them to Compose."""
    return "".join(f"{key}={value}\n" for key, value in sorted(values.items()))
