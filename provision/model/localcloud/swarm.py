"""The control plane on several hosts: the stack file for `docker stack deploy`, made from Compose's document.

A Swarm has no fixed addresses and no bind mounts of this machine's files, and places a member only by a label of a
host. So configuration reaches the hosts as secrets, a member is placed by its host's number, and containers find their
host's Consul in the host's own resolv.conf.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from provision.model.localcloud import ovn
from provision.model.localcloud.image_families import image_name
from provision.model.localcloud.render import digest
from provision.model.localcloud.replicas import SERVICE_FAMILIES
from provision.model.localcloud.settings import CLUSTERED, MEMBERS, MIGRATED, PROJECT, base_service

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from provision.model.localcloud.settings import Settings

NETWORK: Final = f"{PROJECT}_management"
TUNNEL: Final = f"{PROJECT}_tunnel"
"""Network between hypervisors. Like NETWORK it is attachable: containers that Compose runs on a host can join it."""
MTU_OPTION: Final = "com.docker.network.driver.mtu"
"""Option of an overlay network: the MTU of the network below it, of which VXLAN takes VXLAN_BYTES."""
RESOLVER: Final = "/var/lib/provision"
"""Folder on every host: its Consul writes resolv.conf there, and the host's containers mount it as their own."""
MEMBER_LABEL: Final = "provision.member"
"""Label of a host: the number of the members that it carries. The first three hosts that join carry one each."""
SERVICE_LABEL: Final = "com.docker.swarm.service.name"
"""Docker's own label on every container of a Swarm service."""
NUMBER: Final = "{{.Task.Slot}}"
"""Placeholder for a replica's number, which Swarm fills in."""
REGISTRY_USER: Final = "provision"
FIRST: Final = ("registry", "mirror")
"""Services that are deployed first: the hosts get all other images from them."""

_RENAMED: Final = {"reviver": "restart-hypervisor"}
"""Services that had another name in earlier versions: old name -> new name."""
_KEPT: Final = (
    "command", "entrypoint", "environment", "healthcheck", "hostname", "init", "logging", "stop_grace_period", "deploy",
)  # fmt: skip
_ONCE: Final = {"mode": "replicated-job", "endpoint_mode": "dnsrr", "restart_policy": {"condition": "none"}}
"""How a one-shot service is deployed that runs on one host."""
# A host that vanishes leaves connections that nobody ends. With these values they fail after 13 s instead of 15 min.
_SYSCTLS: Final = {
    "net.ipv4.tcp_retries2": "5",
    "net.ipv4.tcp_syn_retries": "2",
    "net.ipv4.tcp_keepalive_time": "5",
    "net.ipv4.tcp_keepalive_intvl": "2",
    "net.ipv4.tcp_keepalive_probes": "4",
}


@dataclass(frozen=True, slots=True)
class Host:
    """A machine of the Swarm. `member` is the number of the members that it carries, or 0."""

    id: str
    name: str
    address: str
    ready: bool
    member: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """A replica of a service, as Swarm sees it."""

    service: str
    host: str
    """Name of its host."""
    state: str
    wanted: bool
    """Whether it should run; Swarm lists the tasks that it has given up for a while."""
    container: str = ""
    image: str = ""
    problem: str = ""
    id: str = ""
    changed: str = ""
    """Time of its last change of state (Docker's text)."""
    slot: int = 0
    """The replica's number; 0 for a service that runs on every host."""

    @property
    def name(self) -> str:
        """The replica's name, whatever task it is at the moment: nova-api-2@host-3, consul@host-3."""
        return f"{self.service}{f'-{self.slot}' if self.slot else ''}@{self.host}"


def next_member(hosts: Iterable[Host]) -> int:
    """Return the number of the members that a new host carries: the lowest free one, or 0 if none is free."""
    taken = {host.member for host in hosts}
    return next((number for number in range(1, MEMBERS + 1) if number not in taken), 0)


def absent_members(hosts: Iterable[Host]) -> list[int]:
    """List the numbers of the members that no host carries."""
    taken = {host.member for host in hosts}
    return [number for number in range(1, MEMBERS + 1) if number not in taken]


def member_addresses(hosts: Iterable[Host]) -> tuple[str, ...]:
    """List the addresses of the hosts that carry members, in the order of the members' numbers."""
    return tuple(host.address for host in sorted(hosts, key=lambda host: host.member) if host.member)


def hypervisor_project(host: str) -> str:
    """Name the Compose project of a host's hypervisor: Compose accepts lower case, digits and dashes."""
    return f"{PROJECT}-{re.sub('[^a-z0-9-]', '-', host.lower())}"


def renewal_hint() -> str:
    """Say how the overlay networks are made anew: nothing of them can be changed while they exist."""
    # `down` leaves FIRST, which use NETWORK and without which `up` gets no images: `init` starts them again.
    services = " ".join(f"{PROJECT}_{service}" for service in FIRST)
    return (
        f"To renew the networks: `provision cloud down` on every host; `docker service rm {services}`, and some "
        f"seconds later `docker network rm {NETWORK} {TUNNEL}`, on one; `provision cloud init --advertise-addr "
        "ADDRESS` on the host with the smallest MTU; then `provision cloud up` on each."
    )


def registry_host(settings: Settings) -> str:
    """Return the registry's address for every host's engine: the host's own loopback address."""
    return f"127.0.0.1:{settings.ports.registry}"


def names(settings: Settings, tags: Mapping[str, str]) -> dict[str, str]:
    """Map every image's name on the machine that built it to its name in the registry."""
    return {image_name(family, tags): f"{registry_host(settings)}/{image_name(family, tags)}" for family in tags}


def stack_file(
    compose: Mapping[str, Any],
    documents: Mapping[str, str],
    images: Mapping[str, str],
    *,
    etc: str,
    places: Mapping[str, str],
    local_ports: Collection[int],
) -> dict[str, Any]:
    """Make a stack file from `docker compose config --format json`.

    `documents` are the rendered files (`<family>/<file>`); `places` holds the path below `etc` of those that are not
    at their own name; `images` maps Compose's image names to the registry's. `local_ports` are for the operator of one
    machine, and are not published on a Swarm.
    """
    secrets = {name: _secret(name, text) for name, text in documents.items()}
    used: set[str] = set()
    services: dict[str, Any] = {}
    for name, body in compose["services"].items():
        if body.get("profiles") or (body.get("deploy") or {}).get("replicas") == 0:
            continue
        families = [family for each in body.get("volumes", ()) if (family := _family(each, etc))]
        mounted = [each for each in documents if each.partition("/")[0] in families]
        used.update(mounted)
        services[name] = _service(body, mounted, secrets, images, etc=etc, local_ports=local_ports)
        if name in ovn.MEMBERS:
            _use_host_network(services[name])
    volumes = {mount["source"] for body in services.values() for mount in body["volumes"] if mount["type"] == "volume"}
    return {
        "version": "3.8",
        "services": services,
        "networks": {"management": {"external": True, "name": NETWORK}, "host": {"external": True, "name": "host"}},
        "volumes": {name: {"labels": dict(compose["volumes"][name].get("labels") or {})} for name in sorted(volumes)},
        "secrets": {
            secrets[each]: {"name": secrets[each], "file": f"{etc}/{places.get(each, each)}"} for each in sorted(used)
        },
    }


def part(document: Mapping[str, Any], services: Collection[str]) -> dict[str, Any]:
    """Return a stack file with some services only: `docker stack deploy` leaves the others as they are."""
    chosen = {name: body for name, body in document["services"].items() if name in services}
    used = {each["source"] for body in chosen.values() for each in body["secrets"]}
    mounted = {mount["source"] for body in chosen.values() for mount in body["volumes"] if mount["type"] == "volume"}
    return {
        **document,
        "services": chosen,
        "secrets": {name: body for name, body in document["secrets"].items() if name in used},
        "volumes": {name: body for name, body in document["volumes"].items() if name in mounted},
    }


def unwanted_services(deployed: Collection[str], document: Mapping[str, Any]) -> set[str]:
    """Name the deployed services to remove: scalable ones that should have no replicas any more, and renamed ones.

    `document` is the stack file. A service with an old name stays until it is deployed with its new name.
    """
    renamed = {old for old, new in _RENAMED.items() if new in deployed}
    return {*SERVICE_FAMILIES, *renamed} & set(deployed) - set(document["services"])


def old_services(tasks: Iterable[Task], document: Mapping[str, Any]) -> list[str]:
    """Name the services with a database of which no replica has the stack file's image yet, or not every one."""
    images: dict[str, set[str]] = {}
    for task in tasks:
        if task.wanted:
            images.setdefault(task.service, set()).add(task.image)
    return [
        name
        for name, body in document["services"].items()
        if SERVICE_FAMILIES.get(name) in MIGRATED and images.get(name) != {body["image"]}
    ]


def job(
    compose: Mapping[str, Any],
    service: str,
    command: list[str],
    documents: Mapping[str, str],
    images: Mapping[str, str],
    *,
    etc: str,
    places: Mapping[str, str],
    host: str,
) -> dict[str, Any]:
    """Make a stack file for a one-shot run of a service on one host; `host` is the host's id."""
    body = {**compose["services"][service], "profiles": [], "command": command, "healthcheck": None}
    body["deploy"] = {**_ONCE, "placement": _on(host)}
    document = {**compose, "services": {service: body}}
    return stack_file(document, documents, images, etc=etc, places=places, local_ports=())


def collect_job(document: Mapping[str, Any], host: str) -> dict[str, Any]:
    """Make the one-shot service that frees what the registry's deleted images took, on the registry's own host.

    `document` is the stack file; `host` is the host's id.
    """
    body = document["services"]["registry"]
    kept = {key: body[key] for key in ("image", "init", "logging", "networks", "volumes") if key in body}
    return {"registry-collect": {**kept, "command": ["collect"], "deploy": {**_ONCE, "placement": _on(host)}}}


def _on(host: str) -> dict[str, list[str]]:
    return {"constraints": [f"node.id == {host}"]}


def clear_jobs(document: Mapping[str, Any], image: str, *, images: bool) -> dict[str, Any]:
    """Make one-shot services that empty the volumes of all members (OVN's too) and of Consul, before a restore.

    `document` is the stack file; `images` is whether Glance's images are removed too. A member that kept some of its
    data would belong to another cluster than the others, and would never join them.
    """
    cleared = (*CLUSTERED, *ovn.MEMBERS, "consul", *(["glance"] if images else []))
    jobs = {}
    for name, body in document["services"].items():
        volumes = [mount for mount in body["volumes"] if mount["type"] == "volume"]
        if not volumes or base_service(name) not in cleared:
            continue
        deploy = {**_ONCE, **({"mode": "global-job"} if body["deploy"].get("mode") == "global" else {})}
        if "placement" in body["deploy"]:
            deploy["placement"] = body["deploy"]["placement"]
        jobs[f"clear-{name}"] = {
            "image": image,
            "entrypoint": ["find", *(mount["target"] for mount in volumes), "-mindepth", "1", "-delete"],
            "networks": ["management"],
            "volumes": volumes,
            "deploy": deploy,
        }
    return jobs


def _service(
    body: Mapping[str, Any],
    documents: Iterable[str],
    secrets: Mapping[str, str],
    images: Mapping[str, str],
    *,
    etc: str,
    local_ports: Collection[int],
) -> dict[str, Any]:
    kept = {key: body[key] for key in _KEPT if body.get(key) is not None}
    mounts = [_mount(each) for each in body.get("volumes", ()) if not _family(each, etc)]
    if body.get("dns"):
        # Its DNS server is Consul: on a Swarm the one of its own host.
        mounts.append(
            {"type": "bind", "source": f"{RESOLVER}/resolv.conf", "target": "/etc/resolv.conf", "read_only": True}
        )
    labels = {key: value for key, value in (body.get("labels") or {}).items() if value != NUMBER}
    ports = [_port(each) for each in body.get("ports", ()) if int(each["published"]) not in local_ports]
    return {
        **kept,
        "image": images.get(body["image"], body["image"]),
        "labels": labels,
        "networks": ["management"],
        "volumes": mounts,
        "secrets": [
            {"source": secrets[each], "target": f"/config/{each.partition('/')[2]}", "mode": 0o400}
            for each in documents
        ],
        "sysctls": dict(_SYSCTLS),
        **({"ports": ports} if ports else {}),
    }


def _use_host_network(service: dict[str, Any]) -> None:
    """Let a service use its host's network. Its resolv.conf and kernel settings are then the host's too."""
    service["networks"] = ["host"]
    service["volumes"] = [mount for mount in service["volumes"] if mount["target"] != "/etc/resolv.conf"]
    del service["sysctls"]


def _family(mount: Mapping[str, Any], etc: str) -> str:
    """Return the family whose rendered files a mount holds; empty for any other mount."""
    below = str(mount.get("source", "")).removeprefix(f"{etc}/")
    return below.partition("/")[0] if mount["target"] == "/config" and not below.startswith("/") else ""


def _mount(mount: Mapping[str, Any]) -> dict[str, Any]:
    return {key: mount[key] for key in ("type", "source", "target", "read_only") if key in mount}


def _port(port: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "target": int(port["target"]),
        "published": int(port["published"]),
        "protocol": port.get("protocol", "tcp"),
        "mode": "host",
    }


def _secret(name: str, text: str) -> str:
    """Name a secret by its content: secrets are immutable, and a service that gets another one is replaced."""
    return f"{PROJECT}_{name.replace('/', '_')}_{digest(text)}"
