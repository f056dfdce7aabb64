"""The control plane on several hosts: what `docker stack deploy` reads, made from what Compose reads; touches nothing.

A Swarm has no fixed addresses, no bind mounts of this machine's files and no names for a service's members but its own
labels: configuration goes to the hosts as secrets, a member by its host's number, and each host's Consul by the host's
own resolv.conf.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from provision.model.localcloud import ovn
from provision.model.localcloud.image_families import image_name
from provision.model.localcloud.settings import MEMBERS, PROJECT, digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from provision.model.localcloud.settings import Settings

NETWORK: Final = f"{PROJECT}_management"
TUNNEL: Final = f"{PROJECT}_tunnel"
"""Between hypervisors. Both are open to containers of a host's own, which Compose runs there."""
RESOLVER: Final = "/var/lib/provision"
"""A folder of every host: its Consul writes there where it answers, its containers read it as their resolv.conf."""
MEMBER_LABEL: Final = "provision.member"
"""On a host: which member of what keeps state it carries. The first three that join carry one."""
SERVICE_LABEL: Final = "com.docker.swarm.service.name"
"""Docker's own, on every container of a Swarm."""
NUMBER: Final = "{{.Task.Slot}}"
"""What Swarm fills in where Compose is told a copy's number."""
REGISTRY_USER: Final = "provision"
FIRST: Final = ("registry", "mirror")
"""What the other hosts get everything else from."""

_KEPT: Final = (
    "command", "entrypoint", "environment", "healthcheck", "hostname", "init", "logging", "stop_grace_period", "deploy",
)  # fmt: skip
# What a host that vanishes leaves behind: connections that nobody ends. They are found out in 13 s, not in 15 min.
_SYSCTLS: Final = {
    "net.ipv4.tcp_retries2": "5",
    "net.ipv4.tcp_syn_retries": "2",
    "net.ipv4.tcp_keepalive_time": "5",
    "net.ipv4.tcp_keepalive_intvl": "2",
    "net.ipv4.tcp_keepalive_probes": "4",
}


@dataclass(frozen=True, slots=True)
class Host:
    """A machine of the Swarm; `member` is 0 where it carries no member."""

    id: str
    name: str
    address: str
    ready: bool
    member: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """A copy of a service, as Swarm sees it."""

    service: str
    host: str
    """The name of its host."""
    state: str
    wanted: bool
    """Whether it shall run; what Swarm has given up is listed for a while."""
    container: str = ""
    image: str = ""
    problem: str = ""
    id: str = ""
    changed: str = ""
    """When it came into its state (Docker's text)."""
    slot: int = 0
    """The copy's number; 0: one of every host's."""

    @property
    def name(self) -> str:
        """Name the copy, whatever task it is at the moment: nova-api-2@host-3, consul@host-3."""
        return f"{self.service}{f'-{self.slot}' if self.slot else ''}@{self.host}"


def next_member(hosts: Iterable[Host]) -> int:
    """Say which member a new host carries: the lowest that no host has, or 0 where all have one."""
    taken = {host.member for host in hosts}
    return next((number for number in range(1, MEMBERS + 1) if number not in taken), 0)


def absent_members(hosts: Iterable[Host]) -> list[int]:
    """List the members that no host carries."""
    taken = {host.member for host in hosts}
    return [number for number in range(1, MEMBERS + 1) if number not in taken]


def member_addresses(hosts: Iterable[Host]) -> tuple[str, ...]:
    """List where the hosts are that carry the members, in the order of their numbers."""
    return tuple(host.address for host in sorted(hosts, key=lambda host: host.member) if host.member)


def hypervisor_project(host: str) -> str:
    """Name the Compose project of a host's hypervisor: Compose takes lower case, digits and dashes."""
    return f"{PROJECT}-{re.sub('[^a-z0-9-]', '-', host.lower())}"


def registry_host(settings: Settings) -> str:
    """Say how every host's engine names the registry: by its own loopback address."""
    return f"127.0.0.1:{settings.ports.registry}"


def names(settings: Settings, tags: Mapping[str, str]) -> dict[str, str]:
    """Map every image's name on the machine that has built it to its name in the registry."""
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

    `documents` are the rendered files (`<family>/<file>`), `places` says where one lies below `etc` if not by its own
    name, `images` are the registry's names by Compose's. What Compose publishes on `local_ports` is for this machine's
    operator, and is published nowhere.
    """
    secrets = {name: _secret(name, text) for name, text in documents.items()}
    used: set[str] = set()
    services: dict[str, Any] = {}
    for name, body in compose["services"].items():
        if body.get("profiles") or (body.get("deploy") or {}).get("replicas") == 0:
            continue
        families = [family for each in body.get("volumes", ()) if (family := _family(each, etc))]
        mine = [each for each in documents if each.partition("/")[0] in families]
        used.update(mine)
        services[name] = _service(body, mine, secrets, images, etc=etc, local_ports=local_ports)
        if name in ovn.MEMBERS:
            _on_host(services[name])
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
    """Take some services of a stack file: `docker stack deploy` leaves the others as they are."""
    chosen = {name: body for name, body in document["services"].items() if name in services}
    used = {each["source"] for body in chosen.values() for each in body["secrets"]}
    mounted = {mount["source"] for body in chosen.values() for mount in body["volumes"] if mount["type"] == "volume"}
    return {
        **document,
        "services": chosen,
        "secrets": {name: body for name, body in document["secrets"].items() if name in used},
        "volumes": {name: body for name, body in document["volumes"].items() if name in mounted},
    }


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
    """Make a stack file of a one-shot run on one host, by the host's id."""
    body = {**compose["services"][service], "profiles": [], "command": command, "healthcheck": None}
    body["deploy"] = {
        "mode": "replicated-job",
        "endpoint_mode": "dnsrr",
        "restart_policy": {"condition": "none"},
        "placement": {"constraints": [f"node.id == {host}"]},
    }
    whole = {**compose, "services": {service: body}}
    return stack_file(whole, documents, images, etc=etc, places=places, local_ports=())


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
        # Its name server is Consul: here that of its own host.
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


def _on_host(service: dict[str, Any]) -> None:
    """Give a service its host's network: names and kernel settings are the host's too."""
    service["networks"] = ["host"]
    service["volumes"] = [mount for mount in service["volumes"] if mount["target"] != "/etc/resolv.conf"]
    del service["sysctls"]


def _family(mount: Mapping[str, Any], etc: str) -> str:
    """Name the family whose rendered files a mount holds, or nothing where it is another mount."""
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
    """Name a secret by its content: Swarm never changes one, and a service that gets another is renewed."""
    return f"{PROJECT}_{name.replace('/', '_')}_{digest(text)}"
