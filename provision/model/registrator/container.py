"""What the Registrator needs to know of a container, read from Docker's inspect document."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPOSE_PROJECT: Final = "com.docker.compose.project"
COMPOSE_SERVICE: Final = "com.docker.compose.service"
COMPOSE_ONEOFF: Final = "com.docker.compose.oneoff"
PREFIX: Final = "SERVICE_"
"""Prefix of the labels and environment variables that are meant for the Registrator."""
PROTOCOLS: Final = ("tcp", "udp", "sctp")


@dataclass(frozen=True, slots=True)
class ContainerNetwork:
    """A network that a container is connected to, and its addresses there (empty if it has none)."""

    name: str
    id: str
    ipv4: str = ""
    ipv6: str = ""


@dataclass(frozen=True, slots=True, order=True)
class ContainerPort:
    """A port inside the container: number and `tcp`, `udp` or `sctp`."""

    number: int
    protocol: str = "tcp"

    @property
    def suffix(self) -> str:
        """The end of a service's id: `80`, `53:udp`."""
        return str(self.number) if self.protocol == "tcp" else f"{self.number}:{self.protocol}"


@dataclass(frozen=True, slots=True)
class Binding:
    """A published port, and its address and port on the host."""

    port: ContainerPort
    host_ip: str
    host_port: int


@dataclass(frozen=True, slots=True)
class Container:
    """The relevant part of `docker inspect`; `env` and `labels` hold the SERVICE_* keys, `marks` all other labels."""

    id: str
    name: str
    image: str
    created: str = ""
    serving: bool = True
    """Whether it is running, and neither paused nor restarting."""
    env: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    marks: frozenset[str] = frozenset()
    """Labels that are not for the Registrator, as `key=value`."""
    swarm: bool = False
    """Whether it is a replica of a Swarm service, which can expose no ports except its image's."""
    project: str = ""
    """The Compose project or Swarm stack; the names of its networks begin with it."""
    network_mode: str = "default"
    networks: tuple[ContainerNetwork, ...] = ()
    exposed: tuple[ContainerPort, ...] = ()
    bindings: tuple[Binding, ...] = ()
    health: str = ""
    """`starting`, `healthy`, `unhealthy`, or empty if the container has no HEALTHCHECK."""
    health_output: str = field(default="", compare=False)

    @property
    def shares_with(self) -> str:
        """Id or name of the container whose network it uses, or an empty string."""
        mode, _, owner = self.network_mode.partition(":")
        return owner if mode == "container" else ""


def parse_container(inspect: Mapping[str, Any]) -> Container:
    """Read a container from Docker's inspect document."""
    config, state, settings = inspect["Config"], inspect["State"], inspect["NetworkSettings"]
    labels = config.get("Labels") or {}
    health = state.get("Health") or {}
    log = health.get("Log") or []
    exposed = {port for text in (config.get("ExposedPorts") or {}) for port in _ports(text)}
    bindings = []
    for text, places in (settings.get("Ports") or {}).items():
        ports = _ports(text)
        exposed.update(ports)
        bindings += [
            Binding(port, place.get("HostIp") or "", int(place["HostPort"]))
            for port in ports
            for place in places or ()
            if place.get("HostPort", "").isdecimal()
        ]
    return Container(
        id=inspect["Id"],
        name=inspect["Name"].lstrip("/"),
        image=config["Image"],
        created=inspect.get("Created", ""),
        serving=bool(state["Running"]) and not state.get("Paused") and not state.get("Restarting"),
        env=tuple(_pair(text) for text in config.get("Env") or () if text.startswith(PREFIX)),
        labels=tuple((key, value) for key, value in sorted(labels.items()) if key.startswith(PREFIX)),
        marks=frozenset(f"{key}={value}" for key, value in labels.items() if not key.startswith(PREFIX)),
        swarm="com.docker.swarm.service.id" in labels,
        project=labels.get(COMPOSE_PROJECT) or labels.get("com.docker.stack.namespace") or "",
        network_mode=(inspect.get("HostConfig") or {}).get("NetworkMode") or "default",
        networks=tuple(
            ContainerNetwork(
                name, net.get("NetworkID") or "", net.get("IPAddress") or "", net.get("GlobalIPv6Address") or ""
            )
            for name, net in sorted((settings.get("Networks") or {}).items())
        ),
        exposed=tuple(sorted(exposed)),
        bindings=tuple(bindings),
        health="" if health.get("Status") in (None, "none") else health["Status"],
        health_output=(log[-1].get("Output") or "")[-500:] if log else "",
    )


def _ports(text: str) -> list[ContainerPort]:
    """Read `80/tcp`, or a range: not every builder takes those apart. Text that is no port is none."""
    numbers, _, protocol = text.partition("/")
    first, _, last = numbers.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal()):
        return []
    return [ContainerPort(number, protocol or "tcp") for number in range(int(first), int(last or first) + 1)]


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value
