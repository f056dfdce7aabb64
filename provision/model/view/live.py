"""What goes on in a cluster at one moment, from what its nodes tell (adapters/onnode/vitals.py)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from provision.base.roles import with_hub
from provision.model.logs import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from provision.base.model import Node


@dataclass(frozen=True, slots=True)
class NodeVitals:
    """A node: its server's status, and what it and the Spark master say of it. Memory and disk in MiB.

    What is not known is None: `problem` says why.
    """

    name: str
    role: str
    status: str
    problem: str = ""
    load: tuple[float, ...] = ()
    """Averages of 1, 5 and 15 minutes."""
    processors: int | None = None
    memory: int | None = None
    memory_free: int | None = None
    disk: int | None = None
    disk_free: int | None = None
    registered: bool | None = None
    """Whether the Spark master knows it as a living worker; None for the master."""
    cores: int | None = None
    cores_used: int | None = None
    spark_memory: int | None = None
    spark_memory_used: int | None = None

    @property
    def busy(self) -> bool:
        """Whether twice as much wants to run as there are processors."""
        return bool(self.load) and self.load[0] > 2 * (self.processors or 1)

    @property
    def troubled(self) -> bool:
        """Whether somebody has to look at it."""
        lost = self.status != "ACTIVE" or bool(self.problem) or self.registered is False
        return lost or self.busy or low(self.memory_free, self.memory) or low(self.disk_free, self.disk)


def low(free: int | None, total: int | None) -> bool:
    """Whether little is left of a node's memory or disk."""
    return free is not None and bool(total) and free < (total or 0) / 20


@dataclass(frozen=True, slots=True)
class RunningApplication:
    """A Spark application that runs or waits for cores."""

    id: str
    name: str
    user: str
    since: float
    """Seconds since 1970."""
    cores: int
    executor_memory: int
    """MiB of each of its executors."""
    state: str


@dataclass(frozen=True, slots=True)
class HubUser:
    """A notebook user: of the spec, or whom the Hub knows."""

    name: str
    admin: bool = False
    servers: int = 0
    """Servers that run."""
    pending: str = ""
    """What a server is about to do: spawn, stop."""
    since: float | None = None
    """When the oldest server began, in seconds since 1970."""
    last_activity: float | None = None
    memory: int | None = None
    """MiB that the notebooks take on the master."""


@dataclass(frozen=True, slots=True)
class LiveState:
    """A cluster at one moment."""

    cluster: str
    time: float
    """Seconds since 1970, by this machine's clock."""
    nodes: tuple[NodeVitals, ...] = ()
    applications: tuple[RunningApplication, ...] = ()
    users: tuple[HubUser, ...] = ()
    problems: tuple[str, ...] = field(default=())
    """Sentences: what could not be asked."""

    @property
    def cores(self) -> tuple[int, int]:
        """Cores that applications hold, and that living workers have."""
        return _sum(node.cores_used for node in self.nodes), _sum(node.cores for node in self.nodes)

    @property
    def spark_memory(self) -> tuple[int, int]:
        """Memory that executors hold, and that living workers have, in MiB."""
        return _sum(node.spark_memory_used for node in self.nodes), _sum(node.spark_memory for node in self.nodes)

    def as_data(self) -> dict[str, Any]:
        """Return the state as `status --watch --json` prints it."""
        (cores_used, cores), (memory_used, memory) = self.cores, self.spark_memory
        totals = {"cores": cores, "cores_used": cores_used, "memory": memory, "memory_used": memory_used}
        return asdict(self) | {"spark": totals}


def live_state(
    cluster: str,
    now: float,
    *,
    nodes: Iterable[Node],
    users: Mapping[str, bool],
    told: Mapping[str, Mapping[str, Any]],
    lost: Mapping[str, str],
) -> LiveState:
    """Put together what is known. `users`: of the spec, and whether each is an admin; `told`: what each node told last.

    `lost`: nodes that tell nothing, and why. They are without what they told before.
    """
    nodes = tuple(nodes)
    with_all = with_hub(nodes)
    own = told.get(with_all.name, {}) if with_all else {}
    spark, hub = own.get("spark") or {}, own.get("hub") or {}
    problems = []
    if spark.get("error"):
        problems.append(f"The Spark master does not answer: {plain(str(spark['error']))}.")
    if hub.get("error"):
        problems.append(f"The Hub does not answer: {plain(str(hub['error']))}.")
    workers = {str(each.get("host")): each for each in spark.get("workers") or () if each.get("state") == "ALIVE"}
    return LiveState(
        cluster,
        now,
        tuple(_node(node, told.get(node.name), lost.get(node.name, ""), workers, "workers" in spark) for node in nodes),
        tuple(_application(each) for each in spark.get("activeapps") or ()),
        _users(users, hub.get("users") or (), own.get("notebooks") or {}),
        tuple(problems),
    )


def _node(
    node: Node, told: Mapping[str, Any] | None, lost: str, workers: Mapping[str, Mapping[str, Any]], known: bool
) -> NodeVitals:
    worker = workers.get(node.address) if node.role == "worker" else None
    own = told or {}
    return NodeVitals(
        name=node.name,
        role=node.role,
        status=node.status,
        problem=lost,
        load=tuple(own.get("load") or ()),
        **{key: own.get(key) for key in ("processors", "memory", "memory_free", "disk", "disk_free")},
        registered=worker is not None if node.role == "worker" and known else None,
        cores=worker["cores"] if worker else None,
        cores_used=worker["coresused"] if worker else None,
        spark_memory=worker["memory"] if worker else None,
        spark_memory_used=worker["memoryused"] if worker else None,
    )


def _application(data: Mapping[str, Any]) -> RunningApplication:
    return RunningApplication(
        id=plain(str(data["id"])),
        # People choose it: one line, and nothing that steers a terminal.
        name=" ".join(plain(str(data["name"])).split()),
        user=plain(str(data["user"])),
        since=data["starttime"] / 1000,
        cores=data["cores"],
        executor_memory=data.get("memoryperexecutor") or data.get("memoryperslave") or 0,
        state=plain(str(data["state"])),
    )


def _users(
    spec: Mapping[str, bool], hub: Iterable[Mapping[str, Any]], notebooks: Mapping[str, int]
) -> tuple[HubUser, ...]:
    known = {plain(str(each["name"])): each for each in hub}
    found = []
    for name in sorted({*spec, *known}):
        each = known.get(name, {})
        servers = each.get("servers") or ()
        running = [server for server in servers if server["ready"]]
        began = [moment for server in running if (moment := _moment(server.get("started"))) is not None]
        found.append(
            HubUser(
                name=name,
                admin=bool(each.get("admin", spec.get(name))),
                servers=len(running),
                pending=next((plain(str(server["pending"])) for server in servers if server.get("pending")), ""),
                since=min(began, default=None),
                last_activity=_moment(each.get("last_activity")),
                memory=notebooks.get(f"notebook-{name}"),
            )
        )
    return tuple(found)


def _moment(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None


def _sum(numbers: Iterable[int | None]) -> int:
    return sum(number for number in numbers if number is not None)
