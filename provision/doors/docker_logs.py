"""The door to containers' logs: which containers there are, and what Docker has kept of each."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import docker
import requests
from docker.errors import DockerException, NotFound
from urllib3.exceptions import HTTPError

from provision.base.errors import ProvisionError
from provision.pure.logs import Copy
from provision.pure.stack import LABEL, PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

_SERVICE: Final = "com.docker.compose.service"


class Logs:
    """The logs of this engine's containers that belong to the `local` cloud."""

    def __init__(self) -> None:
        with _engine_errors():
            self._client = docker.APIClient(version="auto")

    def copies(self) -> list[Copy]:
        """List all containers of the cloud, those that have ended too."""
        filters: dict[str, Any] = {"label": [LABEL, _SERVICE]}
        with _engine_errors():
            found = self._client.containers(all=True, filters=filters)
        return [
            Copy(
                each["Id"],
                each["Labels"][_SERVICE],
                each["Names"][0].removeprefix(f"/{PROJECT}-"),
                each["State"] in ("running", "restarting", "paused"),
            )
            for each in found
            # Without a name: it is being removed just now.
            if each.get("Names")
        ]

    def frames(
        self, copy: Copy, *, since: float | None = None, tail: int | None = None, follow: bool = False
    ) -> Iterator[bytes]:
        """Yield a container's log as Docker sends it, each part with its time before it; followed: until it ends."""
        with _engine_errors():
            try:
                yield from self._client.logs(
                    copy.id,
                    stream=True,
                    timestamps=True,
                    follow=follow,
                    since=since,
                    tail="all" if tail is None else tail,
                )
            except NotFound:
                return


@contextmanager
def _engine_errors() -> Iterator[None]:
    try:
        yield
    except (DockerException, requests.RequestException, HTTPError) as error:
        raise ProvisionError(
            "Docker does not give out the logs", "see Docker's own log (`journalctl -u docker`)", str(error)
        ) from error
