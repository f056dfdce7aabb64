"""A node's store of metrics, asked over SSH: it answers its own node alone."""

from __future__ import annotations

import io
from http.client import HTTPConnection, HTTPException
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlencode

from provision.adapters.host.process import Piped
from provision.base.errors import ProvisionError

if TYPE_CHECKING:
    from pathlib import Path

    from provision.base.model import Node


class SshStore:
    """One connection for all questions, as long as the store keeps it.

    It is a channel of SSH's, without a port on this machine that others could use.
    """

    def __init__(self, ssh_config: Path, node: Node, port: int, hint: str) -> None:
        self._argv = ["ssh", "-F", str(ssh_config), "-W", f"127.0.0.1:{port}", node.name]
        self._hint = hint
        self._http = HTTPConnection("127.0.0.1", port)
        # By itself it would connect to a port of this machine once the store has closed the connection.
        self._http.auto_open = 0
        self._open()

    def _open(self) -> None:
        self._piped = Piped(self._argv)
        self._http.sock = _Channel(self._piped)

    def __enter__(self) -> SshStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._piped.stop()

    def get(self, path: str, parameters: dict[str, str]) -> tuple[int, str]:
        """Ask it, over another connection where it has closed the one before."""
        if self._http.sock is None:
            self._piped.stop()
            self._open()
        try:
            self._http.request("GET", f"{path}?{urlencode(parameters)}")
            answer = self._http.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, HTTPException) as error:
            self._http.close()
            said = self._piped.stop().stderr.strip()
            raise ProvisionError("monitoring does not answer", self._hint, said or str(error)) from error


class _Channel:
    """What http.client needs of a socket."""

    def __init__(self, piped: Piped) -> None:
        self._piped = piped

    def sendall(self, data: bytes) -> None:
        self._piped.feed.write(data)
        self._piped.feed.flush()

    def makefile(self, *_: Any, **__: Any) -> IO[bytes]:  # noqa: ANN401 - a socket's own options
        return io.BufferedReader(_Answer(self._piped.output))

    def close(self) -> None:
        """Nothing: the channel ends with the program that holds it."""


class _Answer(io.RawIOBase):
    """What comes over the channel; it stays open when an answer has been read."""

    def __init__(self, output: IO[bytes]) -> None:
        self._output = output

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - whatever takes bytes
        data = self._output.read1(len(buffer))  # type: ignore[attr-defined]
        buffer[: len(data)] = data
        return len(data)
