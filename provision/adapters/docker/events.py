"""A Docker engine as the Registrator needs it: the running containers, and the events that concern them."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

import docker
from docker.errors import NotFound

from provision.adapters.docker.client import FAILURES
from provision.base.errors import ProvisionError
from provision.model.registrator.container import Container, parse_container

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_EVENTS: Final = {
    "type": ["container", "network"],
    "event": ["start", "die", "pause", "unpause", "rename", "health_status", "destroy", "connect", "disconnect"],
}


class DockerUnavailableError(ProvisionError):
    """Docker does not answer, or closed the connection: worth trying again."""


class DockerEvents:
    """The Docker engine at `url`. It may take `timeout` seconds for each answer; the stream of events has no limit."""

    def __init__(self, url: str, timeout: int = 10) -> None:
        self._url = url
        self._timeout = timeout
        self._client: docker.APIClient | None = None
        # By id: a container's line in the list, reduced, and the container as inspected then. Only what has changed is
        # inspected again.
        self._inspected: dict[str, tuple[tuple[object, ...], Container]] = {}

    def name(self) -> str:
        """Return the host's name as the engine knows it: a container has no other way to learn it."""
        with _unavailable():
            return str(self._api().info()["Name"])

    def containers(self) -> tuple[Container, ...]:
        """Return all containers that are running or paused."""
        with _unavailable():
            listed = {str(entry["Id"]): _fingerprint(entry) for entry in self._api().containers()}
            self._inspected = {id_: entry for id_, entry in self._inspected.items() if listed.get(id_) == entry[0]}
            for id_, fingerprint in listed.items():
                if id_ not in self._inspected:
                    container = self._inspect(id_)
                    if container:
                        self._inspected[id_] = (fingerprint, container)
        return tuple(container for _, container in self._inspected.values())

    def forget(self, container_id: str) -> None:
        """Inspect a container again the next time, even if its line in the list is unchanged."""
        self._inspected.pop(container_id, None)

    def events(self) -> Iterator[str]:
        """Yield an empty text once subscribed, then the id of each container to which something happens.

        Raises DockerUnavailableError when the stream ends.
        """
        # A connection of its own: it is read in another thread, and may be silent for days.
        with _unavailable(), closing(self._connect()) as client:
            stream = client.events(decode=True, filters=_EVENTS)
            yield ""
            for event in stream:
                actor = event.get("Actor") or {}
                if event.get("Type") == "network":
                    yield str((actor.get("Attributes") or {}).get("container") or "")
                else:
                    yield str(actor.get("ID") or "")
        raise DockerUnavailableError("Docker ended its stream of events")

    def _api(self) -> docker.APIClient:
        if self._client is None:
            self._client = self._connect()
        return self._client

    def _connect(self) -> docker.APIClient:
        return docker.APIClient(base_url=self._url, version="auto", timeout=self._timeout)

    def _inspect(self, id_: str) -> Container | None:
        try:
            return parse_container(self._api().inspect_container(id_))
        except NotFound:
            return None


def _fingerprint(entry: Mapping[str, Any]) -> tuple[object, ...]:
    """Reduce a line of the list to what matters for the container's services: its uptime, for one, does not."""
    _, _, health = str(entry.get("Status", "")).partition("(")
    networks = (entry.get("NetworkSettings") or {}).get("Networks") or {}
    return (
        entry.get("State"),
        # `Up 5 minutes (healthy)`, `Up 5 minutes (Paused)`
        health,
        tuple(entry.get("Names") or ()),
        tuple(sorted((name, net.get("IPAddress"), net.get("GlobalIPv6Address")) for name, net in networks.items())),
        tuple(sorted(str(sorted(port.items())) for port in entry.get("Ports") or ())),
    )


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except (*FAILURES, OSError, ValueError) as error:
        raise DockerUnavailableError(
            f"Docker does not answer: {error}", "Is the engine running, and its socket mounted?"
        ) from error
