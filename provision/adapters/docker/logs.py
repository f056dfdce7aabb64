"""Containers' logs: which containers there are, and the log that Docker has kept of each."""

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
    """The logs of the local cloud's containers on this machine."""

    def __init__(self) -> None:
        self._client = connect(60).api

    def sources(self) -> list[LogSource]:
        """List the containers of the cloud, including those that have ended."""
        filters: dict[str, Any] = {"label": [LABEL, COMPOSE_SERVICE]}
        with engine_errors():
            found = self._client.containers(all=True, filters=filters)
        return [
            LogSource(
                entry["Id"],
                entry["Labels"][COMPOSE_SERVICE],
                entry["Names"][0].removeprefix(f"/{PROJECT}-"),
                entry["State"] in ("running", "restarting", "paused"),
            )
            for entry in found
            # A container without a name is being removed.
            if entry.get("Names")
        ]

    def frames(
        self, source: LogSource, *, since: float | None = None, tail: int | None = None, follow: bool = False
    ) -> Iterator[bytes]:
        """Yield a container's log as Docker sends it, each part with its time first; with `follow`, until it ends."""
        with engine_errors():
            try:
                yield from self._client.logs(
                    source.id,
                    stream=True,
                    timestamps=True,
                    follow=follow,
                    since=since,
                    tail="all" if tail is None else tail,
                )
            except NotFound:
                return
