"""What `provision doctor` observes of a cluster: what its cloud says, and what each node says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from provision.base.constants import PORTS
from provision.base.roles import with_hub

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from provision.base.model import Role
    from provision.model.cluster.resources import Rule

Facts = Mapping[str, Any]
"""What adapters/onnode/look.py prints."""


@dataclass(frozen=True, slots=True)
class ObservedNode:
    """A node, as the cloud lists it and as it describes itself."""

    name: str
    role: Role
    address: str = ""
    status: str = "ACTIVE"
    """The cloud's status."""
    fault: str = ""
    """The cloud's reason for status ERROR."""
    facts: Facts = field(default_factory=dict)
    """Empty if it could not be asked."""
    silent: str = ""
    """Why it could not be asked; empty if it answered."""
    console: tuple[str, ...] = ()
    """The last lines of its serial console, and what they mean; read where it could not be asked."""
    ahead: float = 0.0
    """Seconds that its clock is ahead of this machine's."""
    uncertain: float = 0.0

    @property
    def answers(self) -> bool:
        """Whether it has described itself."""
        return bool(self.facts)

    def fact(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - JSON
        """Return one of its facts."""
        return self.facts.get(name, default)

    def log(self, unit: str) -> tuple[str, ...]:
        """Return the last lines of a unit that is not well."""
        return tuple(self.fact("logs", {}).get(unit, ()))


@dataclass(frozen=True, slots=True)
class ObservedSparkCluster:
    """A cluster, all that was seen of it."""

    name: str
    cloud: str
    now: datetime
    nodes: tuple[ObservedNode, ...]
    """The master first."""
    count: int
    """The number of workers that the spec asks for."""
    users: tuple[str, ...]
    units: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The units that a node of a role runs."""
    floating: str = ""
    """The Hub's address: the floating IP, or the master's own if it was made without one; empty if there is none."""
    attached: bool = True
    """Whether it leads to the node with the Hub."""
    rules: tuple[Rule, ...] = ()
    """Rules of the security group that should be there and are not."""
    ungrouped: tuple[str, ...] = ()
    """Nodes whose port is not in the security group."""
    short: tuple[str, ...] = ()
    """What the workers that are missing need, and the quota does not have: `2 cores, 1 left`."""
    secret: str = ""
    """The hash of the secret that this machine keeps for the cluster; empty if it keeps none."""
    certificate_ends: datetime | None = None
    """When the Hub's certificate ends: the one that it presents, or that lies on its node, whichever ends first."""
    hub_is_apart: bool = False
    """Whether the spec gives the Hub a node of its own."""

    @property
    def master(self) -> ObservedNode | None:
        """The master; None if the cloud has none."""
        return next((node for node in self.nodes if node.role == "master"), None)

    @property
    def hub(self) -> ObservedNode | None:
        """The node with the Hub, which is also asked for what the Spark master says; None if the cloud has none."""
        found = with_hub(self.nodes)
        return found if found and (found.role == "hub" or not self.hub_is_apart) else None

    @property
    def hub_called(self) -> str:
        """What the node with the Hub is called in messages."""
        return "the Hub's node" if self.hub_is_apart else "the master"

    @property
    def workers(self) -> tuple[ObservedNode, ...]:
        """The workers."""
        return tuple(node for node in self.nodes if node.role == "worker")

    @property
    def answering(self) -> tuple[ObservedNode, ...]:
        """The nodes that have described themselves."""
        return tuple(node for node in self.nodes if node.answers)

    def of_hub(self, name: str) -> Any:  # noqa: ANN401 - JSON
        """Return one of the facts of the node with the Hub; an empty mapping if it has not described itself."""
        return self.hub.fact(name, {}) if self.hub else {}

    @property
    def ways(self) -> tuple[Way, ...]:
        """What the nodes need of one another."""
        ways = ways_of(self.nodes)
        return (*ways, METRICS_WAY) if "provision-exporter" in self.units.get("worker", ()) else ways

    def registered(self, node: ObservedNode) -> bool:
        """Whether a worker is alive in the Spark master's list."""
        alive = {each["host"] for each in self.alive}
        return node.address in alive

    @property
    def alive(self) -> tuple[Mapping[str, Any], ...]:
        """The workers that the Spark master counts with."""
        return tuple(each for each in self.of_hub("spark").get("workers", ()) if each["state"] == "ALIVE")


@dataclass(frozen=True, slots=True)
class Way:
    """Ports of a node that others need, and what cannot be done without them."""

    ports: tuple[int, ...]
    role: Role
    without: str
    """Predicate: what does not work while they are closed."""
    only: Role | None = None
    """The one role that needs them, if it is one."""


NO_RESOURCES: Final = "Initial job has not accepted any resources"
"""Spark's own warning, which people search for."""
_LEFT: Final = tuple(range(PORTS.retries + 1))
WAYS: Final = (
    Way((PORTS.spark_master,), "master", "no worker can register with the Spark master"),
    Way(
        tuple(first + more for first in (PORTS.driver, PORTS.driver_block_manager) for more in _LEFT),
        "hub",
        f'executors start and cannot connect back to the driver: Spark prints "{NO_RESOURCES}"',
    ),
    Way((PORTS.nfs,), "hub", "the workers cannot mount homes and /shared"),
    Way((PORTS.spark_worker,), "worker", "the Spark master cannot start executors there", only="master"),
    Way(
        tuple(PORTS.block_manager + more for more in _LEFT),
        "worker",
        "executors cannot exchange their data, and shuffles fail",
    ),
)
"""What the nodes need of one another; what is the Hub's may be the master's (ways_of)."""
METRICS_WAY: Final = Way((PORTS.node_metrics,), "worker", "monitoring does not see how the worker is", only="master")
"""And what monitoring needs, where the spec turns it on."""
HUB_WAY: Final = Way(
    (PORTS.spark_master_ui,),
    "master",
    "kernels do not learn their shares there, and nobody sees how Spark is",
    only="hub",
)
"""And what a Hub with a node of its own needs."""


def ways_of(nodes: Iterable[ObservedNode]) -> tuple[Way, ...]:
    """Return what these nodes need of one another: what the Hub's node has, the master has where there is none."""
    if any(node.role == "hub" for node in nodes):
        return (*WAYS, HUB_WAY)
    return tuple(replace(way, role="master") if way.role == "hub" else way for way in WAYS)


def asked_of(node: ObservedNode, nodes: Iterable[ObservedNode]) -> list[tuple[str, int]]:
    """Return what a node is to try to reach: all that it needs of the master and the Hub, some of the next worker.

    Every worker tries the one behind it, not all: a network that is closed between two is closed by a rule for all.
    """
    everybody = list(nodes)
    targets = [
        (other.address, port)
        for way in ways_of(everybody)
        if way.role == "master" or (way.role == "hub" and node.role == "worker")
        for other in everybody
        if other.role == way.role != node.role and other.address and way.only in (None, node.role)
        for port in way.ports
    ]
    workers = [each for each in everybody if each.role == "worker" and each.address]
    if node.role == "master":
        targets += [(each.address, PORTS.spark_worker) for each in workers]
    elif len(workers) > 1 and node in workers:
        following = workers[(workers.index(node) + 1) % len(workers)]
        targets += [(following.address, port) for port in (PORTS.block_manager, PORTS.block_manager + PORTS.retries)]
    return targets


def spans(ports: Iterable[int]) -> str:
    """Write ports as people do: `7077, 7100-7199`."""
    parts: list[list[int]] = []
    for port in sorted(set(ports)):
        if parts and port == parts[-1][-1] + 1:
            parts[-1].append(port)
        else:
            parts.append([port])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
