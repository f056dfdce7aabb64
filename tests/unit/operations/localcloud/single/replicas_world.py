"""A fake host: containers, Compose, Consul, HAProxy and a clock, with the methods of their adapters."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

from provision.adapters.consul.catalogue import MAINTENANCE
from provision.base.errors import ProvisionError
from provision.model.localcloud.health import BackendServer
from provision.model.localcloud.host import ServiceState
from provision.model.localcloud.replicas import SCALABLE_SERVICES

APIS = {each.service for each in SCALABLE_SERVICES if not each.peer}
FOLLOWS = 1.0
"""Seconds after which HAProxy has followed Consul."""


@dataclass
class Box:
    """A container; `works` seconds after its start it is healthy (None: never), `ends` after so many it exits."""

    state: ServiceState
    born: float
    works: float | None = 3.0
    ends: float | None = None
    left: float | None = None
    requests: int = 0


@dataclass
class Machine:
    """All adapters at once; `log` holds the effects in their order, `next` says how new containers fare."""

    tag: str = "new"
    now: float = 0.0
    boxes: dict[str, Box] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    next: dict[str, dict] = field(default_factory=dict)
    watch: list = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    migrated: dict[str, str] = field(default_factory=dict)
    superseded: list = field(default_factory=list)
    """Tags of which all other images were removed."""

    def __post_init__(self):
        self.ids = (f"{number:012x}" for number in itertools.count(1))

    # --- the clock ---

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        for box in self.boxes.values():
            box.requests = max(0, box.requests - 1) if box.left is not None else box.requests
            if box.ends is not None and self.now - box.born >= box.ends:
                box.state = replace(box.state, state="exited", exit_code=3)
        for look in self.watch:
            look()

    def put(self, service, number, tag, *, born=-1000.0, project="provision", **fate):
        """Have a container, old by default."""
        id_ = next(self.ids)
        labels = [each.state.container for each in self.boxes.values() if each.state.service == service]
        counted = 1 + max((int(name.rpartition("-")[2]) for name in labels), default=0)
        self.boxes[id_] = Box(
            ServiceState(
                service=service,
                container=f"provision-{service}-{counted}",
                state="running",
                image=f"provision/x:{tag}",
                id=id_,
                project=project,
                number=number,
                created=id_,
                definition=f"{service}-{tag}-{number}",
                registers=service in APIS,
            ),
            born,
            **fate,
        )
        return id_

    # --- Docker ---

    def states(self, project=""):
        return [box.state for box in self.boxes.values() if project in ("", box.state.project)]

    def state(self, container):
        for box in self.boxes.values():
            if container in (box.state.id, box.state.container):
                return box.state
        return None

    def stop_and_remove(self, container, timeout=10):
        box = self.boxes.pop(container, None)
        if box:
            self.log.append(f"end {box.state.service} {box.state.number} {self._tag(box)} {box.requests}")

    def drop_superseded(self, tags):
        self.superseded.append(tags)

    def rename(self, container, name):
        box = self.boxes[container]
        assert self.state(name) is None
        box.state = replace(box.state, container=name)

    def last_lines(self, container):
        return f"last words of {self.state(container).service}"

    def wait_and_remove(self, container, timeout):
        assert container.endswith("-migrate")

    def execute(self, container, argv):
        if argv[0] == "mariadb":
            return 0, "".join(f"{family}\t{inputs}\n" for family, inputs in self.migrated.items())
        box = self.boxes[container]
        return (0, "0 0 10.0.0.1:1 10.0.0.2:5672\n") if self._works(box) else (1, "")

    # --- Consul ---

    def services(self):
        return {
            f"host:{box.state.container}:80": {
                "Service": box.state.service,
                "Address": box.state.id,
                "Port": 80,
                "Meta": {"container": box.state.id[:12]},
            }
            for box in self.boxes.values()
            if box.state.registers and box.state.state == "running"
        }

    def checks(self):
        services = {id_: self.boxes[each["Address"]] for id_, each in self.services().items()}
        own = {
            f"service:{id_}": {"ServiceID": id_, "Status": "passing" if self._works(box) else "critical"}
            for id_, box in services.items()
        }
        maintenance = {
            f"{MAINTENANCE}{id_}": {"ServiceID": id_, "Status": "critical"}
            for id_, box in services.items()
            if box.left is not None
        }
        return own | maintenance

    def in_maintenance(self):
        return {check["ServiceID"] for id_, check in self.checks().items() if id_.startswith(MAINTENANCE)}

    def maintain(self, service_id, reason):
        box = self.boxes[self.services()[service_id]["Address"]]
        box.left = self.now
        self.log.append(f"leave {box.state.service} {box.state.number} {self._tag(box)}")

    def resume(self, service_id):
        box = self.boxes[self.services()[service_id]["Address"]]
        box.left = None
        self.log.append(f"stay {box.state.service} {box.state.number} {self._tag(box)}")

    # --- HAProxy ---

    def servers(self):
        found = []
        for number, box in enumerate(self.boxes.values()):
            if box.state.service not in APIS:
                continue
            seen = box.works is not None and self.now - box.born >= box.works + FOLLOWS
            gone = box.left is not None and self.now - box.left >= FOLLOWS
            address = f"{box.state.id}:80" if seen and not gone else ""
            found.append(
                BackendServer(box.state.service, f"{box.state.service}{number}", address, bool(address), box.requests)
            )
        return tuple(found)

    # --- Progress ---

    def phase(self, name):
        from contextlib import nullcontext

        self.log.append(f"phase {name}")
        return nullcontext()

    def update(self, item, state):
        self.lines.append(f"{item}: {state}")

    def note(self, text):
        self.lines.append(text)

    # --- what tests look at ---

    def serving(self, service):
        """Count the replicas to which HAProxy sends requests."""
        return sum(each.up for each in self.servers() or () if each.backend == service)

    def running(self, service):
        """Show a service's containers: number, tag and name, in the order of numbers."""
        mine = [box for box in self.boxes.values() if box.state.service == service]
        return sorted((box.state.number, self._tag(box), box.state.container) for box in mine)

    def _tag(self, box):
        return box.state.image.rpartition(":")[2]

    def _works(self, box):
        return box.works is not None and box.state.state == "running" and self.now - box.born >= box.works


@dataclass
class FakeCompose:
    """Compose on that machine."""

    machine: Machine
    values: dict[str, str] = field(default_factory=dict)
    project: str = "provision"
    failing: tuple[str, ...] = ()
    ha: bool = False

    def with_values(self, values):
        return replace(self, values={**self.values, **values})

    def definitions(self):
        return {
            each.service: f"{each.service}-{self.machine.tag}-{self.values.get('REPLICA', 1)}"
            for each in SCALABLE_SERVICES
        }

    def made_from(self):
        every = (*(each.service for each in SCALABLE_SERVICES), "nova-compute", "metadata-agent", "libvirt", "mariadb")
        every += ("mariadb-2", "mariadb-3") if self.ha else ()
        return dict.fromkeys(every, (f"provision/x:{self.machine.tag}", ""))

    def up(self, services=(), **how):
        machine = self.machine
        machine.log.append(f"up {self.project} {' '.join(services)}")
        for box in machine.boxes.values():
            if box.state.project == self.project and box.state.service in services:
                if machine._tag(box) != machine.tag:
                    box.born, box.works = machine.now, machine.next.get(box.state.service, {}).get("works", box.works)
                box.state = replace(box.state, image=f"provision/x:{machine.tag}")

    def run_once(self, service, *command):
        self.machine.log.append(f"run {service} {' '.join(command)}")
        if command[0] in self.failing:
            raise ProvisionError(f"{service} failed")
        if command[0] in ("migrate", "contract"):
            self.machine.migrated[service.removesuffix("-migrate")] = self.machine.tag

    def add(self, totals):
        machine = self.machine
        tag = self.values.get("TAG", machine.tag)
        for service, total in totals.items():
            there = [box for box in machine.boxes.values() if box.state.service == service]
            assert total >= len(there), "Compose would remove one of its own choice"
            for _ in range(total - len(there)):
                number = int(self.values["REPLICA"])
                machine.put(service, number, tag, born=machine.now, **machine.next.get(service, {}))
                machine.log.append(f"start {service} {number} {tag}")
