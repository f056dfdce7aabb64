"""Start, replace, drain and remove the control plane's replicas, one at a time, so that each service always serves."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from provision.adapters.consul.http import ConsulUnavailableError
from provision.base import poll
from provision.base.errors import ProvisionError
from provision.base.poll import Pending
from provision.model.localcloud.health import healthy, instances, instances_of
from provision.model.localcloud.replicas import READY_TIMEOUT, SCALABLE_SERVICES, missing, newest, slots

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from provision.adapters.consul.catalogue import Catalogue
    from provision.adapters.docker.compose import Compose
    from provision.adapters.docker.engine import Engine
    from provision.adapters.haproxy import HAProxy
    from provision.base.progress import Progress
    from provision.model.localcloud.health import Instance
    from provision.model.localcloud.host import ServiceState

_UNSEEN_DRAIN: Final = 5
"""Seconds in which Consul's DNS and HAProxy follow a change, if HAProxy cannot be asked whether they have."""
_PAUSE: Final = 0.5
"""Seconds between two looks at a replica."""
_SERVICES: Final = {each.service: each for each in SCALABLE_SERVICES}


class _TimeUpError(ProvisionError):
    """A wait is over, and what it waited for has not happened; this is no failure."""


class ReplicaSet:
    """The scalable services of one Compose project.

    `ready_timeout` is how many seconds a new replica may take to become ready. `drain_timeout` is how many seconds the
    requests of a replica that leaves may take to end; by default each service's own.
    """

    def __init__(
        self,
        control: Compose,
        engine: Engine,
        catalogue: Catalogue,
        proxy: HAProxy,
        progress: Progress,
        *,
        ready_timeout: float = READY_TIMEOUT,
        drain_timeout: float | None = None,
    ) -> None:
        self._control = control
        self._engine = engine
        self._catalogue = catalogue
        self._proxy = proxy
        self._progress = progress
        self._ready_timeout = ready_timeout
        self._drain_timeout = drain_timeout
        self._hashes: dict[int, dict[str, str]] = {}

    def states(self, services: Iterable[str] = _SERVICES) -> list[ServiceState]:
        """Return the containers of some services, by default of all scalable ones."""
        wanted = set(services)
        return [state for state in self._engine.states(self._control.project) if state.service in wanted]

    def definitions(self, replicas: Mapping[str, int]) -> dict[str, dict[int, str]]:
        """Return what each replica shall be made from: service -> replica number -> Compose's hash."""
        for number in range(1, max(replicas.values(), default=0) + 1):
            if number not in self._hashes:
                self._hashes[number] = self._control.with_values({"REPLICA": str(number)}).definitions()
        return {
            service: {number: self._hashes[number][service] for number in range(1, count + 1)}
            for service, count in replicas.items()
        }

    def start(self, replicas: Mapping[str, int], values: Mapping[str, str] | None = None) -> list[ServiceState]:
        """Start the missing replicas of these services all at once; return the new containers without waiting.

        Replicas that were about to leave serve again: they are among those that are returned.
        """
        before = self.sweep(replicas)
        resumed = self._resume(newest(replicas, before))
        for number, totals in missing(replicas, before).items():
            self._control.with_values({**(values or {}), "REPLICA": str(number)}).add(totals)
        known = {state.id for state in before}
        new = [state for state in self.states(replicas) if state.id not in known]
        for state in new:
            self._name(state)
        return sorted([*new, *resumed], key=lambda state: (state.service, state.number))

    def drop_broken(self, replicas: Mapping[str, int], timeout: float = 30) -> None:
        """Remove all replicas of a service if they are out of date and none works within `timeout` seconds.

        There is nothing to keep up then, and they may be waiting for what only their successors bring.
        """
        wanted = self.definitions(replicas)
        old: dict[str, list[ServiceState]] = {}
        for state in self.states(replicas):
            old.setdefault(state.service, []).append(state)
        broken = {service for service, states in old.items() if not _any_current(states, wanted[service])}

        def some_work() -> Pending | None:
            known = self._instances()
            broken.difference_update(
                [service for service in broken if any(self._works(state, known) for state in old[service])]
            )
            return Pending(", ".join(broken)) if broken else None

        with suppress(_TimeUpError):
            poll.until(some_work, timeout=timeout, too_late=_TimeUpError, every=_PAUSE)
        for state in (state for service in sorted(broken) for state in old[service]):
            self._progress.update(_item(state), "removed: out of date, and it did not work")
            self._engine.stop_and_remove(state.id)

    def roll(self, service: str, count: int) -> None:
        """Replace a service's outdated replicas one at a time: the new one works before the old one leaves.

        Raises ProvisionError with the last lines of a new replica that does not work: it is removed then, and the old
        ones go on.
        """
        wanted = self.definitions({service: count})[service]
        planned = slots(count, wanted, self.sweep([service]))
        self._resume([slot.stays for slot in planned if slot.stays])
        for slot in planned:
            if slot.done:
                continue
            stays = slot.stays
            if slot.wanted:
                stays = stays or self._add(service, slot.number)
                self.wait(stays)
            for state in slot.goes:
                self.retire(state)
            if stays:
                self._name(stays)

    def wait(self, state: ServiceState) -> None:
        """Wait until a new replica works: healthy in Consul and in use by HAProxy, or connected to its peer.

        Raises ProvisionError with its last lines if it does not work; it is removed then.
        """
        started, successes = time.monotonic(), 0
        # A connection has to be seen twice: a start-up script may hold one for a moment, to see whether the peer is up.
        needed = 2 if _SERVICES[state.service].peer else 1

        def works() -> Pending | None:
            nonlocal successes
            if problem := _ended(self._engine.state(state.id), state.restarts):
                raise self._remove_failed(state, problem)
            lacking = self._lacking(state)
            successes = 0 if lacking else successes + 1
            if successes == needed:
                return None
            self._progress.update(_item(state), lacking or "connected")
            return Pending(lacking)

        def too_late(lacking: str) -> ProvisionError:
            return self._remove_failed(state, f"does not work after {self._ready_timeout:.0f} s ({lacking})")

        poll.until(works, timeout=self._ready_timeout, too_late=too_late, every=_PAUSE)
        self._progress.update(_item(state), f"works, after {time.monotonic() - started:.0f} s")

    def retire(self, state: ServiceState) -> None:
        """Take a replica out of Consul and HAProxy, let its requests end, stop it and remove it."""
        service = _SERVICES[state.service]
        drain_timeout = service.drain_timeout if self._drain_timeout is None else self._drain_timeout
        registered = instances_of(state, instances(self._catalogue.services(), self._catalogue.checks()))
        addresses = {instance.address for instance in registered}
        places = {
            (server.backend, server.name) for server in self._proxy.servers() or () if server.address in addresses
        }
        for instance in registered:
            self._catalogue.maintain(instance.id, "this copy leaves")
        if registered:
            self._drain(state, addresses, places, drain_timeout)
        self._progress.update(_item(state), "stopping")
        # A service that gets its calls from the broker ends them by itself when it is told to stop. An API has none.
        self._engine.stop_and_remove(state.id, int(drain_timeout) if service.peer else 10)
        self._progress.update(_item(state), "removed")

    def _resume(self, stay: Sequence[ServiceState]) -> list[ServiceState]:
        """Let those serve again whose leaving was interrupted, and return them: Consul would never name them again."""
        leaving = self._leaving() if stay else set()
        known = instances(self._catalogue.services(), self._catalogue.checks()) if leaving else ()
        resumed = []
        for state in stay:
            if ids := [instance.id for instance in instances_of(state, known) if instance.id in leaving]:
                for id_ in ids:
                    self._catalogue.resume(id_)
                self._progress.update(_item(state), "serves again: its leaving was interrupted")
                resumed.append(state)
        return resumed

    def _leaving(self) -> set[str]:
        """Return what is in maintenance; waits for a Consul that has just been started or replaced itself."""

        def ask() -> set[str] | Pending:
            try:
                return self._catalogue.in_maintenance()
            except ConsulUnavailableError as error:
                return Pending(error.message)

        return poll.until(ask, timeout=self._ready_timeout, too_late=ConsulUnavailableError, every=_PAUSE)

    def _drain(
        self, state: ServiceState, addresses: set[str], places: set[tuple[str, str]], drain_timeout: float
    ) -> None:
        def has_left() -> Pending | None:
            servers = self._proxy.servers()
            if servers is None:
                time.sleep(min(_UNSEEN_DRAIN, drain_timeout))
                return None
            in_use = any(server.address in addresses for server in servers)
            requests = sum(server.requests for server in servers if (server.backend, server.name) in places)
            if not in_use and not requests:
                return None
            busy = f"{requests} requests under way"
            self._progress.update(_item(state), "leaving HAProxy" if in_use else busy)
            return Pending(busy)

        try:
            poll.until(has_left, timeout=drain_timeout, too_late=_TimeUpError, every=_PAUSE)
        except _TimeUpError as error:
            self._progress.note(f"{_item(state)} leaves with {error.message} after {drain_timeout:.0f} s")

    def _add(self, service: str, number: int) -> ServiceState:
        before = {state.id for state in self.states([service])}
        self._control.with_values({"REPLICA": str(number)}).add({service: len(before) + 1})
        for state in self.states([service]):
            if state.id not in before:
                return state
        raise ProvisionError(
            f"the new replica of {service} vanished as soon as it was created", "Run the same command again."
        )

    def sweep(self, services: Iterable[str] = _SERVICES) -> list[ServiceState]:
        """Remove stopped containers, which hold no data; return the others."""
        left = []
        for state in self.states(services):
            if state.state in ("running", "restarting"):
                left.append(state)
            else:
                self._progress.update(_item(state), f"removed: it was {state.state}")
                self._engine.stop_and_remove(state.id)
        return left

    def _name(self, state: ServiceState) -> None:
        """Name a container by its replica number: Compose counts on with each container that it makes."""
        name = f"{self._control.project}-{state.service}-{state.number}"
        if state.container != name and self._engine.state(name) is None:
            self._engine.rename(state.id, name)

    def all_healthy(self) -> Pending | None:
        """Return Pending with the registered replicas that do not pass their checks in Consul."""
        known = self._instances()
        unhealthy = [_item(state) for state in self.states() if state.registers and not healthy(state, known)]
        return Pending(", ".join(unhealthy)) if unhealthy else None

    def is_healthy(self, state: ServiceState) -> bool:
        """Whether a container is healthy in Consul; true for one that is not registered there."""
        return not state.registers or healthy(state, self._instances())

    def _instances(self) -> tuple[Instance, ...]:
        try:
            return instances(self._catalogue.services(), self._catalogue.checks())
        except ConsulUnavailableError:
            return ()

    def _lacking(self, state: ServiceState) -> str:
        """Return what a replica still lacks, in words; an empty string when it works."""
        peer = _SERVICES[state.service].peer
        if peer:
            return "" if is_connected(self._engine, state, peer) else "starting"
        known = self._instances()
        if not healthy(state, known):
            return "not yet healthy"
        addresses = {instance.address for instance in instances_of(state, known)}
        in_use = {server.address for server in self._proxy.servers() or () if server.up}
        return "" if addresses <= in_use else "healthy, not yet in HAProxy"

    def _works(self, state: ServiceState, known: Iterable[Instance]) -> bool:
        peer = _SERVICES[state.service].peer
        return is_connected(self._engine, state, peer) if peer else healthy(state, known)

    def _remove_failed(self, state: ServiceState, problem: str) -> ProvisionError:
        """Remove a new replica that does not work; return the error that says so."""
        last = self._engine.last_lines(state.id) if self._engine.state(state.id) else ""
        self._engine.stop_and_remove(state.id)
        self._progress.update(_item(state), "removed: it does not work")
        return ProvisionError(
            f"the new replica {state.number} of {state.service} {problem}; it is removed, and what ran before goes on",
            "The lines above are its last ones. Fix the cause, then run the same command again.",
            last,
        )


def is_connected(engine: Engine, state: ServiceState, port: int) -> bool:
    """Whether a container holds a connection to this port of a peer: the health check of a service without an API."""
    code, text = engine.execute(state.id, ["ss", "-Htn", "state", "established", f"( dport = :{port} )"])
    return code == 0 and bool(text.strip())


def _any_current(states: Iterable[ServiceState], wanted: Mapping[int, str]) -> bool:
    return any(state.definition == wanted.get(state.number) for state in states)


def _item(state: ServiceState) -> str:
    return f"{state.service} {state.number} ({state.id[:6]})"


def _ended(state: ServiceState | None, restarts: int) -> str:
    if state is None:
        return "was removed by something else"
    if state.state in ("exited", "dead"):
        return f"ended with code {state.exit_code}"
    if state.restarts - restarts >= 3:
        return f"ended again and again, the last time with code {state.exit_code}"
    return ""
