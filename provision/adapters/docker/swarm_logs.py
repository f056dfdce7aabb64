"""Logs from all hosts of a Swarm: each manager can hand out the log of every task, from whichever host keeps it."""

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
"""Seconds without a byte of a kept log, after which its host counts as lost: the Swarm may not have noticed yet."""
_QUIET: Final = 60.0
"""Seconds without a new line after which a followed log is requested again: Swarm does not say when a task has ended,
nor when its host is lost."""
_HEADER: Final = struct.Struct(">BxxxL")
_PROBLEM: Final = b"Error grabbing logs: "
"""Start of an error that Docker (moby's WriteLogStream) writes into the stream in place of a line."""


class SwarmLogs:
    """The logs of a Swarm's tasks; `say` is called, once each, with what cannot be read."""

    def __init__(self, swarm: Swarm, say: Callable[[str], None], *, silence: float = _SILENCE) -> None:
        self._swarm = swarm
        self._say = say
        self._silence = silence
        self._api = connect(60).api
        self._away: set[str] = set()
        # Hosts that did not answer: waiting again for each of their tasks would take too long.
        self._silent: set[str] = set()
        self._told: set[str] = set()

    def sources(self) -> list[LogSource]:
        """List all tasks that have, or had, a container."""
        self._away = {host.name for host in self._swarm.hosts() if not host.ready}
        return [
            LogSource(task.id, task.service, task.name, task.state == "running")
            for task in self._swarm.tasks()
            if task.container and task.host
        ]

    def frames(
        self, source: LogSource, *, since: float | None = None, tail: int | None = None, follow: bool = False
    ) -> Iterator[bytes]:
        """Yield a task's log as its host keeps it, each part with its time first.

        With `follow`, it ends after a minute without a new line; to follow it further, call this again.
        """
        host = source.name.rpartition("@")[2]
        if host in self._away:
            self._tell(f"{host} is away: what ran there is not shown.")
        if host in self._away | self._silent:
            return
        try:
            yield from self._read(source, since=since, tail=tail, follow=follow)
        except TimeoutError:
            if not follow:
                self._silent.add(host)
                self._tell(f"{host} does not hand out its logs: what ran there is not shown whole.")

    def _read(self, source: LogSource, *, since: float | None, tail: int | None, follow: bool) -> Iterator[bytes]:
        query: dict[str, int | str] = {"stdout": 1, "stderr": 1, "timestamps": 1, "follow": int(follow)}
        query |= {"tail": "all" if tail is None else tail} | ({} if since is None else {"since": f"{since:.9f}"})
        with engine_errors(), closing(self._open(source, query, _QUIET if follow else self._silence)) as answer:
            if answer.status_code == requests.codes.not_found:
                return
            try:
                answer.raise_for_status()
            except requests.HTTPError as error:
                create_api_error_from_http_exception(error)
            for part in _parts(answer):
                if part.startswith(_PROBLEM):
                    reason = part.removeprefix(_PROBLEM).decode(errors="replace").strip()
                    self._tell(f"{source.name}: Docker does not give out all of its log: {reason}")
                else:
                    yield part

    def _open(self, source: LogSource, query: dict[str, int | str], silence: float) -> requests.Response:
        # docker-py has the logs of a service, not those of one task, and it would wait for ever.
        url = f"{self._api.base_url}/v{self._api.api_version}/tasks/{source.id}/logs"
        try:
            return self._api.get(url, params=query, stream=True, timeout=silence)
        except requests.Timeout as error:
            raise TimeoutError from error

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._say(text)


def _parts(answer: requests.Response) -> Iterator[bytes]:
    """Yield the content of the frames of Docker's stream; raises TimeoutError."""
    while header := _read_exactly(answer, _HEADER.size):
        _, size = _HEADER.unpack(header)
        part = _read_exactly(answer, size)
        if not part and size:
            return
        yield part


def _read_exactly(answer: requests.Response, size: int) -> bytes:
    """Read `size` bytes; nothing when the stream ends before."""
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
