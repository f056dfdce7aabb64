"""The door to containers' logs: which containers there are, and what Docker has kept of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docker.errors import NotFound

from provision.adapters.docker.client import connect, engine_errors
from provision.model.localcloud.logs import LogSource
from provision.model.localcloud.settings import LABEL, PROJECT
from provision.model.registrator.container import COMPOSE_SERVICE

if TYPE_CHECKING:
    from collections.abc import Iterator


class Logs:
    """The logs of this engine's containers that belong to the `local` cloud."""

    def __init__(self) -> None:
        self._client = connect(60).api

    def copies(self) -> list[LogSource]:
        """List all containers of the cloud, those that have ended too."""
        filters: dict[str, Any] = {"label": [LABEL, COMPOSE_SERVICE]}
        with engine_errors():
            found = self._client.containers(all=True, filters=filters)
        return [
            LogSource(
                each["Id"],
                each["Labels"][COMPOSE_SERVICE],
                each["Names"][0].removeprefix(f"/{PROJECT}-"),
                each["State"] in ("running", "restarting", "paused"),
            )
            for each in found
            # Without a name: it is being removed just now.
            if each.get("Names")
        ]

    def frames(
        self, copy: LogSource, *, since: float | None = None, tail: int | None = None, follow: bool = False
    ) -> Iterator[bytes]:
        """Yield a container's log as Docker sends it, each part with its time before it; followed: until it ends."""
        with engine_errors():
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
