"""Keep Consul's catalogue in sync with one Docker engine's containers: subscribe, sync, then resync forever."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from provision.adapters.consul.http import ConsulRefusedError, ConsulUnavailableError
from provision.adapters.docker.events import DockerUnavailableError
from provision.model.registrator.services import Changes, has_successors, keep_statuses, plan_changes, wanted_services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from provision.base.errors import ProvisionError
    from provision.model.registrator.container import Container
    from provision.model.registrator.services import RegistratorSettings, Service, WantedServices

_SHORTEST_WAIT: Final = 0.25
_LONGEST_WAIT: Final = 2.0
_GIVE_UP: Final = 60.0
"""Seconds without Docker after which the Registrator ends. In a container it may hold the socket of an engine that is
gone, and sees the new engine's only when it is started again."""


class ContainerSource(Protocol):
    """A Docker engine (adapters/docker/events.py)."""

    def containers(self) -> tuple[Container, ...]:
        """Return all containers that are running or paused."""

    def forget(self, container_id: str) -> None:
        """Forget what is known of a container, so that it is inspected again."""

    def events(self) -> Iterator[str]:
        """Yield an empty text once subscribed, then ids of changed containers; end with DockerUnavailableError."""


class ServiceCatalogue(Protocol):
    """A Consul agent (adapters/consul/catalogue.py)."""

    def services(self) -> dict[str, dict[str, Any]]:
        """Return the agent's services by id."""

    def statuses(self) -> dict[str, str]:
        """Return the services' check statuses by service id."""

    def address(self) -> str:
        """Return the agent's own address."""

    def register(self, body: Mapping[str, Any]) -> None:
        """Register a service, or replace its registration."""

    def deregister(self, service_id: str) -> None:
        """Deregister a service."""

    def heartbeat(self, service_id: str, status: str, output: str) -> None:
        """Report the status of a TTL check."""


class LogWriter(Protocol):
    """Writes one line into the log."""

    def __call__(self, event: str, level: str = "info", **fields: object) -> None:
        """Log `event` with its details."""


class Registrator:
    """One host's Registrator; `run` returns only after `stop`.

    `resync`: seconds between two looks at everything; `give_up`: seconds without Docker after which `run` fails.
    """

    def __init__(
        self,
        engine: ContainerSource,
        catalogue: ServiceCatalogue,
        settings: RegistratorSettings,
        report: LogWriter,
        *,
        resync: float = 10,
        give_up: float = _GIVE_UP,
    ) -> None:
        self._engine = engine
        self._catalogue = catalogue
        self._settings = settings
        self._report = report
        self._resync = resync
        self._give_up = give_up
        self._changed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._problems: frozenset[str] = frozenset()
        # Each HEALTHCHECK's last report: the status, and when.
        self._beats: dict[str, tuple[str, float]] = {}

    def run(self) -> None:
        """Follow the engine until `stop`. A failure is logged once, and tried again at most two seconds later.

        Raises DockerUnavailableError when the engine stays away.
        """
        threading.Thread(target=self._listen, name="events", daemon=True).start()
        # The first sync waits for the subscription, so that later events are in the queue.
        self._wait_for_changes(None)
        away = ""
        wait = _SHORTEST_WAIT
        seen = time.monotonic()
        while not self._stopping.is_set():
            try:
                self.sync()
            except (DockerUnavailableError, ConsulUnavailableError, ConsulRefusedError) as error:
                # The catalogue is not changed: the containers of an engine that doesn't answer may still run.
                if away != type(error).__name__:
                    self._log_away(error)
                away = type(error).__name__
                if not isinstance(error, DockerUnavailableError):
                    seen = time.monotonic()
                elif time.monotonic() - seen > self._give_up:
                    raise
                self._stopping.wait(wait)
                wait = min(wait * 2, _LONGEST_WAIT)
                continue
            if away:
                self._report("back", after=away)
            away, wait, seen = "", _SHORTEST_WAIT, time.monotonic()
            self._wait_for_changes(self._resync)

    def stop(self) -> None:
        """Let `run` return; the services stay registered, since their containers stay."""
        self._stopping.set()
        self._changed.put("")

    def sync(self) -> None:
        """Make the catalogue match the containers, once.

        Raises DockerUnavailableError, ConsulUnavailableError, or ConsulRefusedError if not even reading is allowed.
        """
        settings = self._settings
        if not settings.address and not settings.internal:
            settings = self._settings = replace(settings, address=self._catalogue.address())
        wanted = wanted_services(self._engine.containers(), settings)
        actual = self._catalogue.services()
        changes = plan_changes(wanted, actual, settings.host_id, settings.token_hash)
        if has_successors(changes, actual):
            changes = keep_statuses(changes, actual, self._catalogue.statuses())
        refused = self._apply(changes)
        refused += self._report_health(wanted)
        self._log_problems((*wanted.problems, *changes.problems, *refused))

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

    def _report_health(self, wanted: WantedServices) -> list[str]:
        """Report every HEALTHCHECK that changed, or whose last report is getting old."""
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
            # Consul has the service, but not its check: somebody has removed that.
            self._catalogue.register(service.body)
            self._catalogue.heartbeat(service.id, service.status, service.output)

    def _wait_for_changes(self, timeout: float | None) -> None:
        """Wait for events, at most `timeout` seconds, and process all that there are."""
        try:
            id_ = self._changed.get(timeout=timeout)
            while True:
                self._engine.forget(id_)
                id_ = self._changed.get_nowait()
        except queue.Empty:
            return

    def _listen(self) -> None:
        """Put the engine's events into the queue until `stop`. A broken stream is opened again, and a sync follows."""
        wait, logged = _SHORTEST_WAIT, ""
        while not self._stopping.is_set():
            try:
                for id_ in self._engine.events():
                    wait, logged = _SHORTEST_WAIT, ""
                    self._changed.put(id_)
            except DockerUnavailableError as error:
                if logged != error.message:
                    self._report("events-broken", level="warning", reason=error.message)
                logged = error.message
            self._stopping.wait(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    def _log_away(self, error: ProvisionError) -> None:
        self._report("away", level="warning", who=type(error).__name__, reason=error.message)

    def _log_problems(self, problems: tuple[str, ...]) -> None:
        """Log each problem once when it comes, and once when it is solved."""
        now = frozenset(problems)
        for problem in sorted(now - self._problems):
            self._report("problem", level="warning", reason=problem)
        for problem in sorted(self._problems - now):
            self._report("solved", reason=problem)
        self._problems = now


def _allowed(request: Callable[[], None], id_: str, refused: list[str]) -> bool:
    """Make a request; a refusal is added to `refused` with the service's id, and stops nothing else."""
    try:
        request()
    except ConsulRefusedError as error:
        refused.append(f"{id_}: {error.message}")
        return False
    return True
