"""Services that can have several replicas: how many each has, and which containers have to be added or replaced.

A replica is known by its number (1, 2, …), whatever container it is at the moment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from provision.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from provision.model.localcloud.host import ServiceState

MAX_REPLICAS: Final = 10
"""Most replicas of one service. HAProxy has a server for each, and one more for the moment of an upgrade."""
READY_TIMEOUT: Final = 300
"""Seconds in which a new replica has to become ready, unless the user says otherwise."""
REPLICA_LABEL: Final = "provision.copy"
"""Label that holds a replica's number. Running containers of earlier versions are recognised by this name."""


@dataclass(frozen=True, slots=True)
class ScalableService:
    """A service whose containers hold no data of their own: a new container can run beside an old one."""

    service: str
    family: str
    peer: int = 0
    """The service is ready when it holds a connection to this port. 0: it is an API with health checks of its own."""
    most: int = MAX_REPLICAS
    least: int = 1
    """Number of replicas unless the user chooses another; 0: the service is optional."""
    drain_timeout: int = 60
    """Seconds that requests in progress may take to end when a replica is stopped."""


SCALABLE_SERVICES: Final = (
    ScalableService("keystone", "keystone"),
    # An image upload is one request: it may take as long as HAProxy allows.
    ScalableService("glance", "glance", drain_timeout=3600),
    ScalableService("placement", "placement"),
    # Nova's own order: conductors first, since they translate between new and old services.
    ScalableService("nova-conductor", "nova", peer=5672),
    ScalableService("nova-scheduler", "nova", peer=5672),
    ScalableService("nova-api", "nova"),
    ScalableService("nova-metadata", "nova"),
    ScalableService("neutron-api", "neutron"),
    # A second replica would be idle: they work on a schedule, or hold a lock in OVN.
    ScalableService("neutron-workers", "neutron", peer=6641, most=1),
    ScalableService("horizon", "horizon", least=0),
)
"""In the order in which they are upgraded."""
SERVICE_FAMILIES: Final = {each.service: each.family for each in SCALABLE_SERVICES}
"""The image family of each scalable service."""
_LEAST: Final = {each.service: each.least for each in SCALABLE_SERVICES}
SCALABLE_NAMES: Final = tuple(each.service for each in SCALABLE_SERVICES if each.most > 1)
SPREAD: Final = (
    "keystone", "placement", "nova-conductor", "nova-scheduler", "nova-api", "nova-metadata", "neutron-api"
)  # fmt: skip
"""Services that have two replicas by default on several hosts. Glance has not: its images are files of one host."""


def variable_name(name: str) -> str:
    """Write a name as the beginning of a Compose variable: `nova-api` becomes `NOVA_API`."""
    return name.upper().replace("-", "_")


def replicas_variable(service: str) -> str:
    """Name the Compose variable that holds a service's number of replicas."""
    return f"{variable_name(service)}_REPLICAS"


def parse_replicas(words: Sequence[str], services: Iterable[str]) -> dict[str, int]:
    """Read SERVICE=N words; `services` are all that exist. Raises UsageError for the first invalid word."""
    known = set(services)
    wanted: dict[str, int] = {}
    for word in words:
        match = re.fullmatch(r"([A-Za-z0-9-]+)=(\d{1,6})", word)
        if not match:
            raise UsageError(f"{word!r} is not SERVICE=N", "For example: `provision cloud scale nova-api=3`.")
        service, number = match[1], int(match[2])
        if service not in SCALABLE_NAMES:
            problem = f"{service} cannot have replicas" if service in known else f"there is no service {service!r}"
            raise UsageError(problem, f"These can have replicas: {', '.join(SCALABLE_NAMES)}.")
        if service in wanted:
            raise UsageError(f"{service} is named twice", "Name each service once: SERVICE=N.")
        if number < _LEAST[service]:
            raise UsageError(f"{service} needs at least one replica", "`provision cloud down` stops the whole cloud.")
        if number > MAX_REPLICAS:
            raise UsageError(f"{service} cannot have {number} replicas", f"The most is {MAX_REPLICAS}.")
        wanted[service] = number
    return wanted


def count(service: str, chosen: Mapping[str, int]) -> int:
    """Return how many replicas of a service should run."""
    return chosen.get(service, _LEAST.get(service, 1))


def names(service: str, chosen: Mapping[str, int]) -> tuple[str, ...]:
    """Return the host names of a service's replicas, as Nova and Neutron list them."""
    return tuple(f"{service}-{number}" for number in range(1, count(service, chosen) + 1))


def missing(replicas: Mapping[str, int], states: Iterable[ServiceState]) -> dict[int, dict[str, int]]:
    """Return what has to be added: number -> service -> how many containers the service then has in total.

    `replicas` names every service to look at. The lowest number comes first, so that a new container's number in
    Compose is never below its number as a replica.
    """
    numbers: dict[str, list[int]] = {service: [] for service in replicas}
    for state in states:
        if state.service in numbers:
            numbers[state.service].append(state.number)
    found: dict[int, dict[str, int]] = {}
    for number in range(1, max(replicas.values(), default=0) + 1):
        for service, wanted in replicas.items():
            if number <= wanted and number not in numbers[service]:
                numbers[service].append(number)
                found.setdefault(number, {})[service] = len(numbers[service])
    return found


def newest(replicas: Mapping[str, int], states: Iterable[ServiceState]) -> list[ServiceState]:
    """Choose the newest container of each number that there shall be: an upgrade may have left two of one number."""
    chosen: dict[tuple[str, int], ServiceState] = {}
    for state in sorted(states, key=lambda state: state.created):
        if state.number <= replicas.get(state.service, 0):
            chosen[state.service, state.number] = state
    return list(chosen.values())


@dataclass(frozen=True, slots=True)
class Slot:
    """A service's replica of one number: the container to keep, and the containers to remove."""

    number: int
    stays: ServiceState | None
    goes: tuple[ServiceState, ...] = ()
    wanted: bool = True
    """Whether there should be a replica of this number."""

    @property
    def done(self) -> bool:
        """Whether nothing has to be done here."""
        return not self.goes and (self.stays is not None or not self.wanted)


def slots(wanted: int, definitions: Mapping[int, str], states: Iterable[ServiceState]) -> list[Slot]:
    """Compare one service's containers with what they should be: number -> definition (Compose's own hash)."""
    by_number: dict[int, list[ServiceState]] = {number: [] for number in range(1, wanted + 1)}
    for state in states:
        by_number.setdefault(state.number, []).append(state)
    found = []
    for number, existing in sorted(by_number.items()):
        if number > wanted:
            found.append(Slot(number, None, tuple(existing), wanted=False))
            continue
        current = [state for state in existing if state.definition == definitions[number]]
        # The newest: an interrupted upgrade may have left its predecessor.
        stays = max(current, key=lambda state: (state.state == "running", state.created), default=None)
        found.append(Slot(number, stays, tuple(state for state in existing if state is not stays)))
    return found


def outdated(definitions: Mapping[str, Mapping[int, str]], states: Iterable[ServiceState]) -> list[ServiceState]:
    """List the containers whose definition is not the wanted one: service -> number -> definition."""
    return [
        state
        for state in states
        if state.service in definitions and definitions[state.service].get(state.number) != state.definition
    ]


def drift(state: ServiceState, made_from: tuple[str, str] | None, definition: str = "") -> str:
    """Say in a word how a container differs from one made now; empty if it does not.

    `made_from` is the image and configuration of one made now; `definition` is Compose's hash of it, if known.
    """
    if made_from is None:
        return "no longer wanted"
    if state.image != made_from[0]:
        return "image"
    if state.configuration != made_from[1]:
        return "configuration"
    return "definition" if definition and state.definition != definition else ""
