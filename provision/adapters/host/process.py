"""Other programs on this machine: argument lists in, typed results out, never a shell."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.base.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


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
    """Run a program and call `line` with each line of its stdout and stderr as it comes; return the exit code."""
    with subprocess.Popen(
        list(argv), cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None  # noqa: S101 - PIPE was asked for
        for text in process.stdout:
            line(text.rstrip("\n"))
    return process.returncode
