"""Other programs on this machine: argument lists in, typed results out, never a shell."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

from provision.base.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


_LAST_ERRORS: Final = 8192
"""Bytes of a program's stderr that are kept from its end."""
_PATIENCE: Final = 10
"""Seconds that a program has to end by itself when it is stopped."""


@dataclass(frozen=True, slots=True)
class Result:
    """The exit code and the output of a program that has ended."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether the program ended with code 0."""
        return self.code == 0


class Process:
    """A program that runs beside this one; its output goes where ours goes."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._process = subprocess.Popen(list(argv))

    def wait(self, timeout: float) -> int | None:
        """Wait up to `timeout` seconds for the end; return the exit code (negative: minus the signal), or None."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        """Send SIGTERM, unless the program has ended."""
        if self._process.poll() is None:
            self._process.terminate()


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
) -> Result:
    """Run a program to its end and return its result, whatever it is.

    A program that does not exist has code 127; one that is killed after `timeout` seconds, 124.
    """
    try:
        done = subprocess.run(
            list(argv), cwd=cwd, env=env, input=stdin, timeout=timeout, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return Result(tuple(argv), 127, "", f"{argv[0]}: not found")
    except subprocess.TimeoutExpired:
        return Result(tuple(argv), 124, "", f"{argv[0]}: no end after {timeout:.0f} s")
    return Result(tuple(argv), done.returncode, done.stdout, done.stderr)


def run_checked(
    argv: Sequence[str],
    *,
    what: str,
    hint: str = "",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
) -> str:
    """Run a program that has to succeed and return its stdout.

    Raises ProvisionError otherwise: the message says that `what` failed, the detail is the program's output.
    """
    result = run(argv, cwd=cwd, env=env, stdin=stdin, timeout=timeout)
    if not result.ok:
        raise ProvisionError(
            f"{what} failed: `{' '.join(argv[:4])}…` ended with {result.code}", hint, result.stderr or result.stdout
        )
    return result.stdout


def stream(
    argv: Sequence[str], line: Callable[[str], None], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> int:
    """Run a program and call `line` with each line of its stdout and stderr as it comes; return the exit code.

    It reads nothing: Ansible refuses a stdin that does not block, as other programs leave terminals and pipes.
    """
    with subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None  # noqa: S101 - PIPE was asked for
        for text in process.stdout:
            line(text.rstrip("\n"))
    return process.returncode


class Piped:
    """A program that runs beside this one, with bytes going in (`feed`), coming out (`output`), or both.

    It ends with this process, whatever ends that: a reader must not take a killed writer's last byte for the end.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, kept: bool = False) -> None:
        """Start the program. Raises ProvisionError when it is not installed.

        With `kept`, what it writes to stdout is kept for `finish`, and there is no `output`: a program that is fed for
        long and reports meanwhile would wait for its reader once a pipe is full (64 KiB), and its feeder for it.
        """
        self.argv = tuple(argv)
        # They live as long as the program.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._kept = tempfile.TemporaryFile() if kept else None  # noqa: SIM115
        tie = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()
        if shutil.which(argv[0]) is None:
            raise ProvisionError(f"{argv[0]} is not installed", f"Install {argv[0]}.")
        self._process = subprocess.Popen(
            [*tie, *argv],
            env=None if env is None else {**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=self._kept or subprocess.PIPE,
            stderr=self._errors,
        )

    def __enter__(self) -> Piped:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def feed(self) -> IO[bytes]:
        """What the program reads. Writing raises BrokenPipeError when it has ended."""
        assert self._process.stdin is not None  # noqa: S101 - PIPE was asked for
        return self._process.stdin

    @property
    def output(self) -> IO[bytes]:
        """What the program writes to stdout."""
        assert self._process.stdout is not None  # noqa: S101 - PIPE was asked for
        return self._process.stdout

    def finish(self) -> Result:
        """Close what the program reads, and return its result with the rest of its stdout."""
        with suppress(BrokenPipeError):
            self.feed.close()
        if self._kept:
            code = self._process.wait()
            self._kept.seek(0)
            return self._result(code, self._kept.read())
        rest = b"" if self.output.closed else self.output.read()
        return self._result(self._process.wait(), rest)

    def stop(self) -> Result:
        """End the program without letting it see the end of what it reads."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
        code = self._process.wait()
        with suppress(OSError):
            self.feed.close()
        (self._kept or self.output).close()
        return self._result(code, b"")

    def _result(self, code: int, output: bytes) -> Result:
        errors = b""
        if not self._errors.closed:
            self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - _LAST_ERRORS))
            errors = self._errors.read()
        return Result(self.argv, code, output.decode(errors="replace"), errors.decode(errors="replace"))
