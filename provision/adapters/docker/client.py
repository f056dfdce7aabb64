"""What the adapters of the Docker engine share: the connection, its errors, labels, and small operations."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import docker
import requests
from docker.errors import APIError, DockerException, NotFound
from urllib3.exceptions import HTTPError

from provision.base.constants import LOCALCLOUD_LABEL
from provision.base.errors import ProvisionError
from provision.model.registrator.container import COMPOSE_ONEOFF

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from docker.models.containers import Container
    from docker.models.networks import Network

FAILURES: Final = (DockerException, requests.RequestException, HTTPError)
"""All that the library raises when the engine refuses, or the connection to it fails."""
OWN_LABELS: Final = dict([LOCALCLOUD_LABEL.split("=")])
"""The label of everything that belongs to the local cloud."""
ACTIVE_ENDPOINTS: Final = "active endpoints"
"""What Docker says of a network that it will not remove since it counts containers in it."""
OUTPUT_HINT: Final = "The lines above are Docker's own. Correct the cause, then run the same command again."
_CLASH_HINT: Final = "Another network uses the cloud's addresses: see `docker network ls` and `ip route`."


def connect(timeout: int) -> docker.DockerClient:
    """Connect to the engine that Docker's own settings name; it may take `timeout` seconds for each answer.

    Raises ProvisionError where there is none: once it runs, the same command may succeed.
    """
    try:
        client = docker.from_env(timeout=timeout)
        client.ping()
    except (DockerException, requests.RequestException) as error:
        raise ProvisionError("Docker does not answer", _connect_hint(str(error)), str(error)) from None
    return client


@contextmanager
def engine_errors() -> Iterator[None]:
    """Turn whatever goes wrong between the engine and us into a ProvisionError."""
    try:
        yield
    except FAILURES as error:
        hint = network_hint(str(error)) or "See Docker's own log (`journalctl -u docker`)."
        raise ProvisionError("Docker refused or broke off", hint, str(error)) from error


def network_hint(problem: str) -> str:
    """Return a hint where a problem is that another network has the same addresses; otherwise nothing."""
    return _CLASH_HINT if "overlap" in problem else ""


def host_name(client: docker.DockerClient) -> str:
    """Return the host's name as the engine knows it."""
    with engine_errors():
        return str(client.info()["Name"])


def long_running(client: docker.DockerClient, labels: Sequence[str], *, stopped: bool = True) -> list[Container]:
    """List the containers that have all of `labels`, without one-shot runs; with or without stopped ones."""
    filters: dict[str, Any] = {"label": list(labels)}
    with engine_errors():
        found = client.containers.list(all=stopped, filters=filters, ignore_removed=True)
    return [container for container in found if container.labels.get(COMPOSE_ONEOFF) != "True"]


def ignore_missing(action: Callable[[], object]) -> None:
    """Carry out an action; that its object no longer exists is no error."""
    try:
        action()
    except NotFound:  # of which ImageNotFound is one
        return


def remove_network(network: Network, timeout: float = 10) -> bool:
    """Remove a network, with what is still connected to it; one that is gone already is no error.

    Returns False where Docker counts containers in it for longer than `timeout` seconds and names none: it may lose
    count when a container ends in the middle of a change, and mends that only when it starts (moby/moby#42119).
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            network.remove()
        except NotFound:
            return True
        except APIError as error:
            if ACTIVE_ENDPOINTS not in str(error):
                raise
        else:
            return True
        if time.monotonic() >= deadline:
            return False
        ignore_missing(network.reload)
        for container in network.attrs.get("Containers") or {}:
            ignore_missing(partial(network.disconnect, container, force=True))
        time.sleep(0.5)


def _connect_hint(problem: str) -> str:
    if "Permission denied" in problem or "PermissionError" in problem:
        # Not with sudo: root's local cloud would take the place of the one that this user has started.
        return (
            "Have your account added to the group `docker` (`sudo usermod -aG docker YOU`), and log out and in again. "
            "If root has started the local cloud, run this as root."
        )
    return "Start Docker (`systemctl start docker`), or set DOCKER_HOST."
