"""The door to logs on all hosts of a Swarm: any of its managers hands out every copy's, as its own host has kept it."""

from __future__ import annotations

import struct
from contextlib import closing
from typing import TYPE_CHECKING, Final

import requests
from docker.errors import create_api_error_from_http_exception
from urllib3.exceptions import ReadTimeoutError

from provision.adapters.docker.client import connect, engine_errors
from provision.model.localcloud.logs import LogSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from provision.adapters.docker.swarm import Swarm

_SILENCE: Final = 15.0
"""Seconds without a byte of what a host has kept: it has vanished, and the Swarm has not noticed yet."""
_QUIET: Final = 60.0
"""Seconds without a new line, after which a followed log is asked for anew: Swarm does not say when a copy has ended,
nor when its host has gone."""
_HEADER: Final = struct.Struct(">BxxxL")
_PROBLEM: Final = b"Error grabbing logs: "
"""Stands where a line would, instead of its time: what moby's own WriteLogStream says into the stream."""


class SwarmLogs:
    """The logs of a Swarm's copies; `say` is told, once each, what cannot be read."""

    def __init__(self, swarm: Swarm, say: Callable[[str], None], *, silence: float = _SILENCE) -> None:
        self._swarm = swarm
        self._say = say
        self._silence = silence
        self._api = connect(60).api
        self._away: set[str] = set()
        # Hosts that were asked and did not answer: each of their copies would be waited for anew.
        self._silent: set[str] = set()
        self._said: set[str] = set()

    def copies(self) -> list[LogSource]:
        """List all copies that have, or had, a container."""
        self._away = {host.name for host in self._swarm.hosts() if not host.ready}
        return [
            LogSource(task.id, task.service, task.name, task.state == "running")
            for task in self._swarm.tasks()
            if task.container and task.host
        ]

    def frames(
        self, copy: LogSource, *, since: float | None = None, tail: int | None = None, follow: bool = False
    ) -> Iterator[bytes]:
        """Yield a copy's log as its host has it, each part with its time before it.

        Followed, it ends after a while without a new line: whoever still wants it asks again.
        """
        host = copy.name.rpartition("@")[2]
        if host in self._away:
            self._tell(f"{host} is away: what ran there is not shown.")
        if host in self._away | self._silent:
            return
        try:
            yield from self._read(copy, since=since, tail=tail, follow=follow)
        except TimeoutError:
            if not follow:
                self._silent.add(host)
                self._tell(f"{host} does not hand out its logs: what ran there is not shown whole.")

    def _read(self, copy: LogSource, *, since: float | None, tail: int | None, follow: bool) -> Iterator[bytes]:
        wish: dict[str, int | str] = {"stdout": 1, "stderr": 1, "timestamps": 1, "follow": int(follow)}
        wish |= {"tail": "all" if tail is None else tail} | ({} if since is None else {"since": f"{since:.9f}"})
        with engine_errors(), closing(self._ask(copy, wish, _QUIET if follow else self._silence)) as answer:
            if answer.status_code == requests.codes.not_found:
                return
            try:
                answer.raise_for_status()
            except requests.HTTPError as error:
                create_api_error_from_http_exception(error)
            for part in _parts(answer):
                if part.startswith(_PROBLEM):
                    reason = part.removeprefix(_PROBLEM).decode(errors="replace").strip()
                    self._tell(f"{copy.name}: Docker does not give out all of its log: {reason}")
                else:
                    yield part

    def _ask(self, copy: LogSource, wish: dict[str, int | str], silence: float) -> requests.Response:
        # docker-py knows the logs of a service, not those of one task; and it would wait for ever.
        url = f"{self._api.base_url}/v{self._api.api_version}/tasks/{copy.id}/logs"
        try:
            return self._api.get(url, params=wish, stream=True, timeout=silence)
        except requests.Timeout as error:
            raise TimeoutError from error

    def _tell(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)


def _parts(answer: requests.Response) -> Iterator[bytes]:
    """Yield what the frames of Docker's stream hold, of all of a container's outputs; raises TimeoutError."""
    while header := _exactly(answer, _HEADER.size):
        _, size = _HEADER.unpack(header)
        part = _exactly(answer, size)
        if not part and size:
            return
        yield part


def _exactly(answer: requests.Response, size: int) -> bytes:
    """Read so many bytes; nothing at the end of the stream, even in the middle."""
    found = b""
    try:
        while len(found) < size:
            some = answer.raw.read(size - len(found))
            if not some:
                return b""
            found += some
    except ReadTimeoutError as error:
        raise TimeoutError from error
    return found
