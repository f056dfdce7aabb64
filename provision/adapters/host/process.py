"""The door to other programs on this machine: argument lists in, typed results out, never a shell."""

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
    """A finished program."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether it ended with 0."""
        return self.code == 0


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
) -> Result:
    """Run a program to its end; not being there (127) or outliving `timeout` seconds (124) is a result too."""
    try:
        done = subprocess.run(
            list(argv), cwd=cwd, env=env, input=stdin, timeout=timeout, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return Result(tuple(argv), 127, "", f"{argv[0]}: not found")
    except subprocess.TimeoutExpired:
        return Result(tuple(argv), 124, "", f"{argv[0]}: no end after {timeout:.0f} s")
    return Result(tuple(argv), done.returncode, done.stdout, done.stderr)


def must(
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

    Raises ProvisionError with `what` failed and the last lines of its output.
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
    """Run a program and hand over each line of its output (stdout and stderr together) as it comes; return its code."""
    with subprocess.Popen(
        list(argv), cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None  # noqa: S101 - PIPE was asked for
        for text in process.stdout:
            line(text.rstrip("\n"))
    return process.returncode
