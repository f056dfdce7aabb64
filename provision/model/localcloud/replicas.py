"""Services that may run beside themselves: how many copies, which is which, and what makes them as they shall be.

Touches nothing. A copy is known by its number (1, 2, …), whatever container it is at the moment.
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
"""Of one service. HAProxy has a place for each, and one for the moment of an upgrade."""
READY_TIMEOUT: Final = 300
"""Seconds in which a new copy has to work, where nobody says otherwise."""
REPLICA_LABEL: Final = "provision.copy"


@dataclass(frozen=True, slots=True)
class ScalableService:
    """A service whose containers hold no data of their own: a new one may stand beside an old one."""

    service: str
    family: str
    peer: int = 0
    """It works when it holds a connection to this port; 0: it is an API, whose health Consul and HAProxy know."""
    most: int = MAX_REPLICAS
    least: int = 1
    """What runs where nobody chose otherwise; 0: it is optional."""
    patience: int = 60
    """Seconds that requests under way may take to end when a copy leaves."""


SCALABLE_SERVICES: Final = (
    ScalableService("keystone", "keystone"),
    # An image goes through one request: as long as HAProxy allows for it.
    ScalableService("glance", "glance", patience=3600),
    ScalableService("placement", "placement"),
    # Nova's own order: conductors first, for they translate between the new and the old.
    ScalableService("nova-conductor", "nova", peer=5672),
    ScalableService("nova-scheduler", "nova", peer=5672),
    ScalableService("nova-api", "nova"),
    ScalableService("nova-metadata", "nova"),
    ScalableService("neutron-api", "neutron"),
    ScalableService("neutron-rpc", "neutron", peer=5672),
    # A second one has nothing to do: they work by a clock, with the database, or hold a lock of OVN's.
    ScalableService("neutron-periodic", "neutron", peer=3306, most=1),
    ScalableService("neutron-ovn-maintenance", "neutron", peer=6641, most=1),
    ScalableService("horizon", "horizon", least=0),
)
"""In the order in which they are upgraded."""
_LEAST: Final = {each.service: each.least for each in SCALABLE_SERVICES}
SCALABLE_NAMES: Final = tuple(each.service for each in SCALABLE_SERVICES if each.most > 1)
SPREAD: Final = (
    "keystone", "placement", "nova-conductor", "nova-scheduler", "nova-api", "nova-metadata",
    "neutron-api", "neutron-rpc",
)  # fmt: skip
"""What two hosts have a copy of each, where there are several hosts. Glance's images are files of one host."""


def variable(service: str) -> str:
    """Name the Compose value that holds a service's number of copies."""
    return f"{service.upper().replace('-', '_')}_COPIES"


def parse_replicas(words: Sequence[str], services: Iterable[str]) -> dict[str, int]:
    """Read SERVICE=N words; `services` are all that there are. Raises UsageError for the first that cannot be done."""
    known = set(services)
    wanted: dict[str, int] = {}
    for word in words:
        match = re.fullmatch(r"([A-Za-z0-9-]+)=(\d{1,6})", word)
        if not match:
            raise UsageError(f"{word!r} is not SERVICE=N", "for example: `provision cloud scale nova-api=3`")
        service, number = match[1], int(match[2])
        if service not in SCALABLE_NAMES:
            problem = f"{service} cannot have copies" if service in known else f"there is no service {service!r}"
            raise UsageError(problem, f"these can: {', '.join(SCALABLE_NAMES)}")
        if service in wanted:
            raise UsageError(f"{service} is named twice", "once is enough: SERVICE=N with the number that shall run")
        if number < _LEAST[service]:
            raise UsageError(f"{service} needs at least one copy", "`provision cloud down` stops the whole cloud")
        if number > MAX_REPLICAS:
            raise UsageError(
                f"{number} copies of {service} are more than there are places for", f"{MAX_REPLICAS} is the most"
            )
        wanted[service] = number
    return wanted


def count(service: str, chosen: Mapping[str, int]) -> int:
    """Say how many copies of a service shall run."""
    return chosen.get(service, _LEAST.get(service, 1))


def names(service: str, chosen: Mapping[str, int]) -> tuple[str, ...]:
    """Return the host names of a service's copies, as Nova's and Neutron's lists have them."""
    return tuple(f"{service}-{number}" for number in range(1, count(service, chosen) + 1))


def missing(copies: Mapping[str, int], states: Iterable[ServiceState]) -> dict[int, dict[str, int]]:
    """Say what has to be added: number -> service -> how many containers the service then has in all.

    `copies` names every service that is meant. The lowest number comes first, so that a new container's number in
    Compose is never below its number as a copy.
    """
    numbers: dict[str, list[int]] = {service: [] for service in copies}
    for state in states:
        if state.service in numbers:
            numbers[state.service].append(state.number)
    found: dict[int, dict[str, int]] = {}
    for number in range(1, max(copies.values(), default=0) + 1):
        for service, count in copies.items():
            if number <= count and number not in numbers[service]:
                numbers[service].append(number)
                found.setdefault(number, {})[service] = len(numbers[service])
    return found


@dataclass(frozen=True, slots=True)
class Slot:
    """A service's copy of one number: the container that stays, the ones that go, or that it shall not be at all."""

    number: int
    stays: ServiceState | None
    goes: tuple[ServiceState, ...] = ()
    wanted: bool = True

    @property
    def done(self) -> bool:
        """Whether nothing is to do here."""
        return not self.goes and (self.stays is not None or not self.wanted)


def slots(wanted: int, definitions: Mapping[int, str], states: Iterable[ServiceState]) -> list[Slot]:
    """Compare one service's containers with what they shall be: number -> definition (Compose's own hash)."""
    by_number: dict[int, list[ServiceState]] = {number: [] for number in range(1, wanted + 1)}
    for state in states:
        by_number.setdefault(state.number, []).append(state)
    found = []
    for number, there in sorted(by_number.items()):
        if number > wanted:
            found.append(Slot(number, None, tuple(there), wanted=False))
            continue
        current = [one for one in there if one.definition == definitions[number]]
        # The newest: an interrupted upgrade may have left its forerunner.
        stays = max(current, key=lambda one: (one.state == "running", one.created), default=None)
        found.append(Slot(number, stays, tuple(one for one in there if one is not stays)))
    return found


def outdated(definitions: Mapping[str, Mapping[int, str]], states: Iterable[ServiceState]) -> list[ServiceState]:
    """List the containers that are not what they shall be: service -> number -> definition."""
    return [
        state
        for state in states
        if state.service in definitions and definitions[state.service].get(state.number) != state.definition
    ]


def drift(state: ServiceState, made_from: tuple[str, str] | None, definition: str = "") -> str:
    """Say in a word what a container is that one made now would not be; nothing when it is the same.

    `made_from` is the image and the configuration of one made now, `definition` Compose's hash of all of it, if known.
    """
    if made_from is None:
        return "no longer wanted"
    if state.image != made_from[0]:
        return "image"
    if state.configuration != made_from[1]:
        return "configuration"
    return "definition" if definition and state.definition != definition else ""
