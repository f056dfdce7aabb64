"""The control plane's copies, one by one: started, waited for, taken out of use and removed, and never the last one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from provision.adapters.consul.catalogue import CatalogueAwayError
from provision.base.errors import ProvisionError
from provision.model.localcloud.health import healthy, instances, instances_of
from provision.model.localcloud.replicas import READY_TIMEOUT, SCALABLE_SERVICES, missing, slots

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from provision.adapters.consul.catalogue import Catalogue
    from provision.adapters.docker.compose import Compose
    from provision.adapters.docker.engine import Engine
    from provision.adapters.haproxy import Proxy
    from provision.base.progress import Progress
    from provision.model.localcloud.health import Instance
    from provision.model.localcloud.host import ServiceState

_NOTICED: Final = 5
"""Seconds in which Consul's DNS and HAProxy follow a change, where HAProxy itself cannot be asked."""
_PAUSE: Final = 0.5
_KINDS: Final = {each.service: each for each in SCALABLE_SERVICES}


class ReplicaSet:
    """The copied services of one Compose project; `limit` is how long a new copy may take to become healthy."""

    def __init__(
        self,
        control: Compose,
        engine: Engine,
        catalogue: Catalogue,
        proxy: Proxy,
        progress: Progress,
        *,
        limit: float = READY_TIMEOUT,
        patience: float | None = None,
    ) -> None:
        self._control = control
        self._engine = engine
        self._catalogue = catalogue
        self._proxy = proxy
        self._progress = progress
        self._limit = limit
        self._patience = patience
        self._hashes: dict[int, dict[str, str]] = {}

    def states(self, services: Iterable[str] = _KINDS) -> list[ServiceState]:
        """Look at the containers of some services, of all copied ones by default."""
        wanted = set(services)
        return [state for state in self._engine.states(self._control.project) if state.service in wanted]

    def definitions(self, copies: Mapping[str, int]) -> dict[str, dict[int, str]]:
        """Say what each copy shall be made from: service -> number -> Compose's hash."""
        for number in range(1, max(copies.values(), default=0) + 1):
            if number not in self._hashes:
                self._hashes[number] = self._control.having({"REPLICA": str(number)}).definitions()
        return {
            service: {number: self._hashes[number][service] for number in range(1, count + 1)}
            for service, count in copies.items()
        }

    def start(self, copies: Mapping[str, int], values: Mapping[str, str] | None = None) -> list[ServiceState]:
        """Start what is missing of these services, all at once; return the new containers, for which nobody waited."""
        before = self.sweep(copies)
        for number, totals in missing(copies, before).items():
            self._control.having({**(values or {}), "REPLICA": str(number)}).add(totals)
        known = {state.id for state in before}
        new = [state for state in self.states(copies) if state.id not in known]
        for state in new:
            self._name(state)
        return sorted(new, key=lambda each: (each.service, each.number))

    def drop_broken(self, copies: Mapping[str, int], patience: float = 30) -> None:
        """Remove the copies of a service that are out of date where none works, even after `patience` seconds.

        There is nothing to keep up then, and what they wait for may be what their successors bring.
        """
        wanted = self.definitions(copies)
        old: dict[str, list[ServiceState]] = {}
        for state in self.states(copies):
            old.setdefault(state.service, []).append(state)
        idle = {service for service, states in old.items() if not _any_current(states, wanted[service])}
        deadline = time.monotonic() + patience
        while True:
            known = self._instances()
            idle = {service for service in idle if not any(self._works(state, known) for state in old[service])}
            if not idle or time.monotonic() > deadline:
                break
            time.sleep(_PAUSE)
        for state in (state for service in sorted(idle) for state in old[service]):
            self._progress.update(_item(state), "removed: out of date, and it did not work")
            self._engine.end(state.id)

    def roll(self, service: str, count: int) -> None:
        """Make a service's copies what they shall be, one at a time: the new one works before the old one leaves.

        Raises ProvisionError with the last lines of a new copy that does not work: it is gone then, the old ones go on.
        """
        wanted = self.definitions({service: count})[service]
        for slot in slots(count, wanted, self.sweep([service])):
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
        """Wait until a new copy works: healthy in Consul and in use by HAProxy, or connected to its peer.

        Raises ProvisionError with its last lines when it does not; it is removed then.
        """
        peer, began, steady = _KINDS[state.service].peer, time.monotonic(), 0
        while True:
            problem = _ended(self._engine.state(state.id), state.restarts)
            lacks = problem or self._lacks(state)
            # Once more for a connection: a start-up script may have held one for a moment, to see who is there.
            steady = 0 if lacks else steady + 1
            took = time.monotonic() - began
            if steady > (1 if peer else 0):
                self._progress.update(_item(state), f"works, after {took:.0f} s")
                return
            if not problem and took > self._limit:
                problem = f"does not work after {self._limit:.0f} s ({lacks})"
            if problem:
                raise self._unfit(state, problem)
            self._progress.update(_item(state), lacks or "connected")
            time.sleep(_PAUSE)

    def retire(self, state: ServiceState) -> None:
        """Take a copy out of Consul and HAProxy, let requests under way end, stop it and remove it."""
        kind = _KINDS[state.service]
        patience = kind.drain_timeout if self._patience is None else self._patience
        mine = instances_of(state, instances(self._catalogue.services(), self._catalogue.checks()))
        addresses = {each.address for each in mine}
        places = {(each.backend, each.name) for each in self._proxy.servers() or () if each.address in addresses}
        for each in mine:
            self._catalogue.maintain(each.id, "this copy leaves")
        if mine:
            self._drain(state, addresses, places, patience)
        self._progress.update(_item(state), "stopping")
        # What hangs on the broker ends its calls by itself when it is told to stop. An API has none left.
        self._engine.end(state.id, int(patience) if kind.peer else 10)
        self._progress.update(_item(state), "removed")

    def _drain(self, state: ServiceState, addresses: set[str], places: set[tuple[str, str]], patience: float) -> None:
        deadline = time.monotonic() + patience
        while True:
            servers = self._proxy.servers()
            if servers is None:
                time.sleep(min(_NOTICED, patience))
                return
            in_use = any(each.address in addresses for each in servers)
            busy = sum(each.requests for each in servers if (each.backend, each.name) in places)
            if not in_use and not busy:
                return
            if time.monotonic() > deadline:
                self._progress.note(f"{_item(state)} leaves with {busy} requests under way after {patience:.0f} s")
                return
            self._progress.update(_item(state), "leaving HAProxy" if in_use else f"{busy} requests under way")
            time.sleep(_PAUSE)

    def _add(self, service: str, number: int) -> ServiceState:
        before = {state.id for state in self.states([service])}
        self._control.having({"REPLICA": str(number)}).add({service: len(before) + 1})
        for state in self.states([service]):
            if state.id not in before:
                return state
        raise ProvisionError(
            f"the new copy of {service} vanished as soon as it was there", "run the same command again"
        )

    def sweep(self, services: Iterable[str] = _KINDS) -> list[ServiceState]:
        """Remove containers that have stopped: they hold nothing, and serve nobody. Return the others."""
        left = []
        for state in self.states(services):
            if state.state in ("running", "restarting"):
                left.append(state)
            else:
                self._progress.update(_item(state), f"removed: it was {state.state}")
                self._engine.end(state.id)
        return left

    def _name(self, state: ServiceState) -> None:
        """Call a container by its copy's number: Compose counts on with each one that it makes."""
        name = f"{self._control.project}-{state.service}-{state.number}"
        if state.container != name and self._engine.state(name) is None:
            self._engine.rename(state.id, name)

    def unhealthy(self) -> str:
        """Name the copies that Consul is told of and that do not pass their checks at this moment."""
        known = self._instances()
        return ", ".join(_item(state) for state in self.states() if state.registers and not healthy(state, known))

    def is_healthy(self, state: ServiceState) -> bool:
        """Whether a container is healthy in Consul, or none that Consul is told of."""
        return not state.registers or healthy(state, self._instances())

    def _instances(self) -> tuple[Instance, ...]:
        try:
            return instances(self._catalogue.services(), self._catalogue.checks())
        except CatalogueAwayError:
            return ()

    def _lacks(self, state: ServiceState) -> str:
        """Say what a copy still lacks; nothing when it works."""
        peer = _KINDS[state.service].peer
        if peer:
            return "" if is_connected(self._engine, state, peer) else "starting"
        known = self._instances()
        if not healthy(state, known):
            return "not yet healthy"
        addresses = {each.address for each in instances_of(state, known)}
        in_use = {each.address for each in self._proxy.servers() or () if each.up}
        return "" if addresses <= in_use else "healthy, not yet in HAProxy"

    def _works(self, state: ServiceState, known: Iterable[Instance]) -> bool:
        peer = _KINDS[state.service].peer
        return is_connected(self._engine, state, peer) if peer else healthy(state, known)

    def _unfit(self, state: ServiceState, problem: str) -> ProvisionError:
        last = self._engine.last_lines(state.id) if self._engine.state(state.id) else ""
        self._engine.end(state.id)
        self._progress.update(_item(state), "removed: it does not work")
        return ProvisionError(
            f"the new copy {state.number} of {state.service} {problem}; it is removed, and what ran before goes on",
            "the lines above are its last ones; after mending the cause, run the same command again",
            last,
        )


def is_connected(engine: Engine, state: ServiceState, port: int) -> bool:
    """Whether a container holds a connection to this port of somebody: the sign of life of what listens nowhere."""
    code, text = engine.execute(state.id, ["ss", "-Htn", "state", "established", f"( dport = :{port} )"])
    return code == 0 and bool(text.strip())


def _any_current(states: Iterable[ServiceState], wanted: Mapping[int, str]) -> bool:
    return any(state.definition == wanted.get(state.number) for state in states)


def _item(state: ServiceState) -> str:
    return f"{state.service} {state.number} ({state.id[:6]})"


def _ended(state: ServiceState | None, restarts: int) -> str:
    if state is None:
        return "was removed by somebody else"
    if state.state in ("exited", "dead"):
        return f"ended with code {state.exit_code}"
    if state.restarts - restarts >= 3:
        return f"ended again and again, the last time with code {state.exit_code}"
    return ""
