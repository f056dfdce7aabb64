"""The door to a Docker engine as the Registrator needs it: the running containers, and what happens to them."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

import docker
import requests
from docker.errors import APIError, DockerException, NotFound
from urllib3.exceptions import HTTPError

from provision.base.errors import ProvisionError
from provision.model.registrator.container import Container, parse_container

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_EVENTS: Final = {
    "type": ["container", "network"],
    "event": ["start", "die", "pause", "unpause", "rename", "health_status", "destroy", "connect", "disconnect"],
}


class EngineAwayError(ProvisionError):
    """Docker does not answer, or broke off: it is tried again."""


class DockerEvents:
    """One Docker engine; every call is bounded by `timeout` seconds, the stream of events is not."""

    def __init__(self, url: str, timeout: int = 10) -> None:
        self._url = url
        self._timeout = timeout
        self._client: docker.APIClient | None = None
        # What the list says of a container, and what was read when it said so: only what changed is inspected again.
        self._seen: dict[str, tuple[tuple[object, ...], Container]] = {}

    def name(self) -> str:
        """Return the host's name as the engine knows it: inside a container, the only way to learn it."""
        with _away():
            return str(self._api().info()["Name"])

    def containers(self) -> tuple[Container, ...]:
        """Return all containers that run or are paused."""
        with _away():
            listed = {str(entry["Id"]): _fingerprint(entry) for entry in self._api().containers()}
            self._seen = {id_: seen for id_, seen in self._seen.items() if listed.get(id_) == seen[0]}
            for id_, fingerprint in listed.items():
                if id_ not in self._seen:
                    container = self._inspect(id_)
                    if container:
                        self._seen[id_] = (fingerprint, container)
        return tuple(container for _, container in self._seen.values())

    def forget(self, container_id: str) -> None:
        """Have a container inspected again, however unchanged the list shows it."""
        self._seen.pop(container_id, None)

    def events(self) -> Iterator[str]:
        """Yield the id of each container to which something happened, after one empty text: we are subscribed.

        Raises EngineAwayError when the stream ends.
        """
        # A connection of its own, without bounds: it is read in another thread, and may be silent for days.
        with _away(), closing(self._connect()) as client:
            stream = client.events(decode=True, filters=_EVENTS)
            yield ""
            for event in stream:
                actor = event.get("Actor") or {}
                if event.get("Type") == "network":
                    yield str((actor.get("Attributes") or {}).get("container") or "")
                else:
                    yield str(actor.get("ID") or "")
        raise EngineAwayError("Docker ended its stream of events")

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
    """Reduce a line of the list to what changes with the container's services: not to its uptime."""
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
def _away() -> Iterator[None]:
    try:
        yield
    except (DockerException, APIError, requests.RequestException, HTTPError, OSError, ValueError) as error:
        raise EngineAwayError(
            f"Docker does not answer: {error}", "Is the engine running, and its socket mounted?"
        ) from error
