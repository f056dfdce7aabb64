"""What `provision cloud doctor` observes of the local cloud, and how it is read from the output of programs."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from provision.model.localcloud.settings import PROJECT
from provision.model.registrator.container import COMPOSE_PROJECT, COMPOSE_SERVICE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provision.model.localcloud.settings import Api


@dataclass(frozen=True, slots=True)
class Unit:
    """A container of the local cloud."""

    service: str
    name: str
    """Its name in the logs: nova-api-1, compute-1-nova-compute-1."""
    project: str
    state: str
    """Docker's state: created, running, paused, restarting, exited, dead."""
    image: str = ""
    exit_code: int = 0
    restarts: int = 0
    """How often Docker has restarted it since it was made."""
    started: datetime | None = None
    finished: datetime | None = None
    unhealthy: bool = False
    out_of_memory: bool = False
    hypervisor: str = ""
    container: str = ""
    """Its id, if Docker's name for it does not follow from `name`."""

    @property
    def known_as(self) -> str:
        """The name or id under which Docker knows it."""
        return self.container or f"{PROJECT}-{self.name}"

    @property
    def family(self) -> str:
        """The family of its image: `nova` for provision/nova:0123456789ab, also of a registry; empty for others."""
        match = re.fullmatch(r"(?:[\w.:-]+/)?provision/([\w-]+):\w+(?:@sha256:\w+)?", self.image)
        return match[1] if match else ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint in Keystone's catalogue."""

    type: str
    name: str
    interface: str
    url: str


@dataclass(frozen=True, slots=True)
class ConsulCheck:
    """The health of a service's instance in Consul."""

    service: str
    id: str
    passing: bool
    output: str = ""


@dataclass(frozen=True, slots=True)
class Worker:
    """A compute service or a network agent, as Nova and Neutron list them."""

    kind: str
    host: str
    up: bool
    enabled: bool = True
    reason: str = ""
    """Why it was disabled."""
    seen: datetime | None = None
    """When it last reported."""


@dataclass(frozen=True, slots=True)
class DatabaseMember:
    """A member of the database cluster; `variables` are Galera's status variables, empty if it is in no cluster."""

    name: str
    answers: bool
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def clustered(self) -> bool:
        """Whether it belongs to a Galera cluster."""
        return bool(self.variables.get("wsrep_cluster_size", "0").strip("0"))


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue of RabbitMQ."""

    name: str
    messages: int
    consumers: int


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock: how many seconds it is ahead of this machine's (negative: behind), and the uncertainty in seconds."""

    whose: str
    ahead: float
    uncertain: float


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system: what it holds of the cloud, its size and its free space in bytes."""

    holds: str
    size: int
    free: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate on this machine. `cluster` is the Spark cluster it belongs to; empty for the local cloud's own."""

    path: str
    begins: datetime
    ends: datetime
    cluster: str = ""
    authority: bool = False


@dataclass(frozen=True, slots=True)
class ObservedLocalCloud:
    """Everything that was observed. A field is None if it could not be read; `unseen` then says why, by field name."""

    now: datetime
    wanted: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """How many containers there should be, by project and service."""
    units: tuple[Unit, ...] = ()
    apis: tuple[Api, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of this checkout's images, by family."""
    hypervisors: tuple[str, ...] = ()
    endpoints: tuple[Endpoint, ...] | None = None
    checks: tuple[ConsulCheck, ...] | None = None
    failed_nodes: tuple[str, ...] = ()
    """Members of Consul that do not answer."""
    unregistered: tuple[str, ...] = ()
    """Ids of services that run, but are missing or outdated in Consul."""
    stale: tuple[str, ...] = ()
    """Ids of services in Consul that do not run."""
    backends: Mapping[str, int] | None = None
    """How many replicas HAProxy sends requests to, by service."""
    compute: tuple[Worker, ...] | None = None
    agents: tuple[Worker, ...] | None = None
    members: tuple[DatabaseMember, ...] | None = None
    queues: tuple[Queue, ...] | None = None
    clocks: tuple[Clock, ...] = ()
    disks: tuple[Disk, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    unseen: Mapping[str, str] = field(default_factory=dict)
    swarm: bool = False
    """Whether this is a Swarm: `units` run on all hosts, and the rest was observed from this one."""


_NEVER: Final = "0001-01-01"


def read_unit(inspect: Mapping[str, Any], name: str) -> Unit:
    """Read a container from Docker's inspect document."""
    state, labels = inspect["State"], inspect["Config"].get("Labels") or {}
    return Unit(
        service=labels.get(COMPOSE_SERVICE, name),
        name=name,
        project=labels.get(COMPOSE_PROJECT, ""),
        state=state["Status"],
        image=inspect["Config"]["Image"],
        exit_code=int(state.get("ExitCode") or 0),
        restarts=int(inspect.get("RestartCount") or 0),
        started=read_time(state.get("StartedAt", "")),
        finished=read_time(state.get("FinishedAt", "")),
        unhealthy=(state.get("Health") or {}).get("Status") == "unhealthy",
        out_of_memory=bool(state.get("OOMKilled")),
        hypervisor=labels.get("provision.hypervisor", ""),
    )


def read_time(text: str | None) -> datetime | None:
    """Read a time of Docker, Nova or Neutron, in UTC without its fraction; None if there is none."""
    match = re.match(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)", text or "")
    if not match or match[1] == _NEVER:
        return None
    return datetime.fromisoformat(f"{match[1]}T{match[2]}+00:00")


def read_moment(text: str) -> float:
    """Read a time of Docker with its fraction and zone; return seconds since 1970."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).timestamp()


def read_backends(text: str) -> dict[str, int]:
    """Count the servers that are up in HAProxy's statistics (CSV), by backend."""
    found: dict[str, int] = {}
    for row in csv.DictReader(text.removeprefix("# ").splitlines()):
        if row["svname"] == "BACKEND":
            found.setdefault(row["pxname"], 0)
        elif row["svname"] != "FRONTEND":
            found[row["pxname"]] = found.get(row["pxname"], 0) + row["status"].startswith("UP")
    return found


def read_checks(states: Sequence[Mapping[str, Any]]) -> tuple[ConsulCheck, ...]:
    """Read Consul's `/v1/health/state/any`: each instance that has a check, and its first failing check's output."""
    # A lost host's checks keep their last state, so they do not count.
    lost = {state.get("Node") for state in states if not state["ServiceID"] and state["Status"] != "passing"} - {None}
    found: dict[str, ConsulCheck] = {}
    for state in states:
        id_, alive = state["ServiceID"], state.get("Node") not in lost
        if id_ and (id_ not in found or found[id_].passing):
            output = " ".join(state["Output"].split()) if alive else f"{state['Node']} does not answer"
            found[id_] = ConsulCheck(state["ServiceName"], id_, alive and state["Status"] == "passing", output)
    return tuple(found.values())


def read_queues(text: str) -> tuple[Queue, ...]:
    """Read `rabbitmqctl list_queues --formatter json name messages consumers`; raises ValueError for anything else."""
    # There may be warnings before the list, with brackets of their own.
    start = max(text.find("[\n"), text.rfind("[]"))
    try:
        rows = json.loads(text[start:]) if start >= 0 else []
    except json.JSONDecodeError:
        start = -1
    if start < 0:
        raise ValueError(f"no list of queues: {text.strip()[:200]}")
    return tuple(Queue(str(row["name"]), _number(row["messages"]), _number(row["consumers"])) for row in rows)


def _number(value: object) -> int:
    # A queue on a broker that is down has no counts.
    return value if isinstance(value, int) else 0


def read_variables(text: str) -> dict[str, str]:
    """Read `name<TAB>value` lines, as `mariadb -NB` prints them."""
    return dict(line.split("\t", 1) for line in text.splitlines() if "\t" in line)


def read_disks(text: str, holds: Sequence[str]) -> tuple[Disk, ...]:
    """Read `df -PB1 PLACE…`, one line for each place; `holds` says what is there."""
    found = []
    for line, content in zip(text.splitlines()[1:], holds, strict=False):
        words = line.split()
        if len(words) >= 6 and words[2].isdecimal() and words[3].isdecimal():
            # As df counts: space reserved for root is neither used nor free.
            used, free = int(words[2]), int(words[3])
            found.append(Disk(content, used + free, free))
    return tuple(found)
