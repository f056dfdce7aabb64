"""Keep Consul's catalogue equal to one Docker engine's containers: subscribe, then sync, then resync forever."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from provision.adapters.consul.http import ConsulRefusedError, ConsulUnavailableError
from provision.adapters.docker.events import DockerUnavailableError
from provision.model.registrator.services import Changes, has_heirs, inherit_statuses, plan_changes, wanted_services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from provision.base.errors import ProvisionError
    from provision.model.registrator.container import Container
    from provision.model.registrator.services import RegistratorSettings, Service, WantedServices

_SHORTEST_WAIT: Final = 0.25
_LONGEST_WAIT: Final = 2.0


class ContainerSource(Protocol):
    """What a Docker engine is asked (adapters/docker/events.py)."""

    def containers(self) -> tuple[Container, ...]:
        """Return all containers that run or are paused."""

    def forget(self, container_id: str) -> None:
        """Have a container inspected again."""

    def events(self) -> Iterator[str]:
        """Yield an empty text once subscribed, then container ids; raise DockerUnavailableError at the end."""


class ServiceCatalogue(Protocol):
    """What a Consul agent is asked (adapters/consul/catalogue.py)."""

    def services(self) -> dict[str, dict[str, Any]]:
        """Return the agent's services by id."""

    def statuses(self) -> dict[str, str]:
        """Return the services' check statuses by service id."""

    def address(self) -> str:
        """Return the agent's own address."""

    def register(self, body: Mapping[str, Any]) -> None:
        """Put a service."""

    def deregister(self, service_id: str) -> None:
        """Remove a service."""

    def heartbeat(self, service_id: str, status: str, output: str) -> None:
        """LogWriter the status of a TTL check."""


class LogWriter(Protocol):
    """Where the log goes: one line each."""

    def __call__(self, event: str, level: str = "info", **fields: object) -> None:
        """Say that `event` happened, with what belongs to it."""


class Registrator:
    """One host's Registrator; `run` returns only after `stop`."""

    def __init__(
        self,
        engine: ContainerSource,
        catalogue: ServiceCatalogue,
        settings: RegistratorSettings,
        report: LogWriter,
        resync: float = 10,
    ) -> None:
        self._engine = engine
        self._catalogue = catalogue
        self._settings = settings
        self._report = report
        self._resync = resync
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._problems: frozenset[str] = frozenset()
        # When each HEALTHCHECK was last reported, and as what.
        self._beats: dict[str, tuple[str, float]] = {}

    def run(self) -> None:
        """Follow the engine until `stop`: whatever fails is said once and tried again, at most two seconds later."""
        threading.Thread(target=self._listen, name="events", daemon=True).start()
        # Nothing is synced before the subscription stands: what happens meanwhile then waits in the queue.
        self._hear(None)
        away = ""
        wait = _SHORTEST_WAIT
        while not self._stopping.is_set():
            try:
                self.sync()
            except (DockerUnavailableError, ConsulUnavailableError, ConsulRefusedError) as error:
                # The catalogue is left as it is: an engine that doesn't answer says nothing about its containers.
                if away != type(error).__name__:
                    self._say_away(error)
                away = type(error).__name__
                self._stopping.wait(wait)
                wait = min(wait * 2, _LONGEST_WAIT)
                continue
            if away:
                self._report("back", after=away)
            away, wait = "", _SHORTEST_WAIT
            self._hear(self._resync)

    def stop(self) -> None:
        """Have `run` return; the services stay, as their containers do."""
        self._stopping.set()
        self._news.put("")

    def sync(self) -> None:
        """Make the catalogue equal to the containers, once.

        Raises DockerUnavailableError, ConsulUnavailableError, or ConsulRefusedError when not even reading is allowed.
        """
        settings = self._settings
        if not settings.address and not settings.internal:
            settings = self._settings = replace(settings, address=self._catalogue.address())
        wanted = wanted_services(self._engine.containers(), settings)
        actual = self._catalogue.services()
        changes = plan_changes(wanted, actual, settings.host_id, settings.holder)
        if has_heirs(changes, actual):
            changes = inherit_statuses(changes, actual, self._catalogue.statuses())
        refused = self._apply(changes)
        refused += self._beat(wanted)
        self._tell_problems((*wanted.problems, *changes.problems, *refused))

    def _apply(self, changes: Changes) -> list[str]:
        refused: list[str] = []
        for service in changes.register:
            if _allowed(partial(self._catalogue.register, service.body), service.id, refused):
                self._beats.pop(service.id, None)
                entry = service.registration
                self._report(
                    "registered",
                    id=service.id,
                    service=entry["Name"],
                    address=entry["Address"],
                    port=entry["Port"],
                )
        for service in changes.adopt:
            _allowed(partial(self._catalogue.register, service.body), service.id, refused)
        for id_ in changes.deregister:
            if _allowed(partial(self._catalogue.deregister, id_), id_, refused):
                self._report("deregistered", id=id_)
        return refused

    def _beat(self, wanted: WantedServices) -> list[str]:
        """LogWriter every HEALTHCHECK that changed, or whose last report is getting old."""
        refused = []
        now = time.monotonic()
        checked: dict[str, Service] = {id_: each for id_, each in wanted.services.items() if each.status}
        self._beats = {id_: beat for id_, beat in self._beats.items() if id_ in checked}
        for id_, service in checked.items():
            status, since = self._beats.get(id_, ("", 0.0))
            if status == service.status and now - since < self._settings.ttl / 3:
                continue
            try:
                self._heartbeat(service)
            except ConsulRefusedError as error:
                refused.append(f"{id_}: {error.message}")
                continue
            self._beats[id_] = (service.status, now)
            if status != service.status:
                self._report("health", id=id_, status=service.status)
        return refused

    def _heartbeat(self, service: Service) -> None:
        try:
            self._catalogue.heartbeat(service.id, service.status, service.output)
        except ConsulRefusedError:
            # Consul has the service, but not its check: somebody removed it.
            self._catalogue.register(service.body)
            self._catalogue.heartbeat(service.id, service.status, service.output)

    def _hear(self, timeout: float | None) -> None:
        """Wait for news, at most `timeout` seconds, and take all there is."""
        try:
            id_ = self._news.get(timeout=timeout)
            while True:
                self._engine.forget(id_)
                id_ = self._news.get_nowait()
        except queue.Empty:
            return

    def _listen(self) -> None:
        """Put the engine's events into the queue for ever: a broken stream is taken up again, and a sync follows."""
        wait, said = _SHORTEST_WAIT, ""
        while not self._stopping.is_set():
            try:
                for id_ in self._engine.events():
                    wait, said = _SHORTEST_WAIT, ""
                    self._news.put(id_)
            except DockerUnavailableError as error:
                if said != error.message:
                    self._report("events-broken", level="warning", reason=error.message)
                said = error.message
            self._stopping.wait(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    def _say_away(self, error: ProvisionError) -> None:
        self._report("away", level="warning", who=type(error).__name__, reason=error.message)

    def _tell_problems(self, problems: tuple[str, ...]) -> None:
        """Say each problem once, for as long as it lasts."""
        now = frozenset(problems)
        for problem in sorted(now - self._problems):
            self._report("problem", level="warning", reason=problem)
        for problem in sorted(self._problems - now):
            self._report("solved", reason=problem)
        self._problems = now


def _allowed(act: Callable[[], None], id_: str, refused: list[str]) -> bool:
    """Do it; a refusal is noted with the service's id, and stops nothing else."""
    try:
        act()
    except ConsulRefusedError as error:
        refused.append(f"{id_}: {error.message}")
        return False
    return True
