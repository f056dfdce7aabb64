"""What every door to the Docker engine shares: the connection, and the words for an engine that fails."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import docker
import requests
from docker.errors import DockerException
from urllib3.exceptions import HTTPError

from provision.base.errors import ProvisionError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


def connect(timeout: int) -> docker.DockerClient:
    """Connect to the engine that Docker's own settings name; each of its answers may take `timeout` seconds.

    Raises UsageError where there is none.
    """
    try:
        client = docker.from_env(timeout=timeout)
        client.ping()
    except (DockerException, requests.RequestException) as error:
        raise UsageError("Docker does not answer", _away_hint(str(error)), str(error)) from None
    return client


@contextmanager
def engine_errors() -> Iterator[None]:
    """Raise a ProvisionError for whatever goes wrong between the engine and us."""
    try:
        yield
    except (DockerException, requests.RequestException, HTTPError) as error:
        hint = "see Docker's own log (`journalctl -u docker`)"
        if "overlap" in str(error):
            hint = "another network uses the cloud's addresses: see `docker network ls` and `ip route`"
        raise ProvisionError("Docker refused or broke off", hint, str(error)) from error


def _away_hint(problem: str) -> str:
    if "Permission denied" in problem or "PermissionError" in problem:
        return "run this as root or with sudo, or have your account put into the group `docker`"
    return "start Docker (`systemctl start docker`), or set DOCKER_HOST"
