"""Programs that run inside containers: all that they print, and their exit code.

Docker may lose the end of what a program printed, or end the stream before the program has ended (moby/moby#27289, seen
with 20.10 on a busy machine). So a mark follows the output, and what came without it is not taken for all.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from provision.base.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from docker import APIClient

_MARK: Final = "<all of the output>"
_SCRIPT: Final = f'"$@"; code=$?; printf "%s" "{_MARK}"; exit $code'
_RUNS: Final = 3
"""How often a program runs whose output has lost its end."""
_ENDS: Final = 60
"""Seconds within which a program ends that has closed its output."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a program in a container printed, and its exit code."""

    code: int
    out: bytes
    err: bytes


class Program:
    """A program in a container: its output in pieces, and after the last one its exit code, errors and completeness."""

    def __init__(self, api: APIClient, container: str, argv: Sequence[str]) -> None:
        self._api = api
        self._id = api.exec_create(container, ["sh", "-c", _SCRIPT, "sh", *argv])["Id"]
        self.errors = b""
        self.complete = False
        self.code = 0

    def output(self) -> Iterator[bytes]:
        """Run it, and yield what it prints."""
        held, mark = b"", _MARK.encode()
        stream = self._api.exec_start(self._id, stream=True, demux=True)
        for out, err in cast("Iterable[tuple[bytes | None, bytes | None]]", stream):
            self.errors += err or b""
            held += out or b""
            # The mark may come in two pieces.
            piece, held = held[: -len(mark)], held[-len(mark) :]
            if piece:
                yield piece
        self.complete = held == mark
        if held and not self.complete:
            yield held
        self.code = self._exit_code()

    def _exit_code(self) -> int:
        end = time.monotonic() + _ENDS
        while (code := self._api.exec_inspect(self._id)["ExitCode"]) is None:
            if time.monotonic() > end:
                raise ProvisionError("Docker lost the output of a program that still runs", "Run the command again.")
            time.sleep(0.1)
        return int(code)


def run_program(api: APIClient, container: str, argv: Sequence[str]) -> Output:
    """Run a program that may run twice, and return all that it printed.

    Raises ProvisionError when Docker loses the end of its output each time.
    """
    for _ in range(_RUNS):
        program = Program(api, container, argv)
        out = b"".join(program.output())
        if program.complete:
            return Output(program.code, out, program.errors)
    raise ProvisionError(
        f"Docker lost a part of what {argv[0]} printed, {_RUNS} times", "See Docker's own log (`journalctl -u docker`)."
    )
