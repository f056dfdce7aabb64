"""restic: backups that are encrypted and hold equal data once, in a folder, by SFTP, on S3 or on a REST server.

restic 0.14 (Debian 12) and later. It runs here, with this environment: credentials are its own matter.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from typing import TYPE_CHECKING, Final

from provision.adapters.host import process
from provision.adapters.host.files import ensure_private
from provision.adapters.host.process import Piped
from provision.base.errors import ProvisionError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_OLDEST: Final = (0, 14)
_PASSWORD_VARIABLES: Final = ("RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND")
# Exit codes since 0.17, and what earlier versions say.
_MISSING: Final = (10, "Is there a repository at the following location")
_LOCKED_OUT: Final = (12, "wrong password or no key found")
_INSTALL: Final = "Install it: `apt-get install restic`, or as restic.net says. `provision` runs it on this machine."


class Repository:
    """One repository, and the file of its password, if that is not in the environment."""

    def __init__(self, location: str, password_file: Path | None) -> None:
        self.location = location
        self.password_file = password_file

    def _argv(self, *words: str) -> list[str]:
        password = ["--password-file", str(self.password_file)] if self.password_file else []
        return ["restic", "--repo", self.location, *password, *words]

    def exists(self) -> bool:
        """Whether there is a repository.

        Raises UsageError for a wrong password, ProvisionError if the place does not answer.
        """
        result = process.run(self._argv("cat", "config"), stdin="")
        if not result.ok and not _is(result, _MISSING):
            raise self._error(result, "cannot be read")
        return result.ok

    def create(self) -> None:
        """Make the repository."""
        result = process.run(self._argv("init"), stdin="")
        if not result.ok:
            raise self._error(result, "cannot be made")

    def snapshots(self, tag: str) -> str:
        """Return the JSON of the snapshots with a tag."""
        # --no-lock: a repository that may only be read can be listed too.
        result = process.run(self._argv("snapshots", "--json", "--no-lock", "--tag", tag), stdin="")
        if not result.ok:
            raise self._error(result, "cannot be read")
        return result.stdout

    def start_backup(self, name: str, tags: Sequence[str], host: str) -> Piped:
        """Start a backup of what is fed to it, as a file `name`. It is a snapshot once `finish_backup` was called."""
        words = [word for tag in tags for word in ("--tag", tag)]
        argv = self._argv("backup", "--json", "--host", host, *words, "--stdin", "--stdin-filename", name)
        return Piped(argv, kept=True)

    def finish_backup(self, piped: Piped) -> tuple[str, int]:
        """Let a backup see the end of its input; return the snapshot's short id, and the bytes that were added.

        Raises ProvisionError when restic fails.
        """
        result = piped.finish()
        if not result.ok:
            raise self._error(result, "could not be written to")
        for line in reversed(result.stdout.splitlines()):
            if '"summary"' in line:
                summary = json.loads(line)
                return summary["snapshot_id"][:8], summary.get("data_added_packed", summary.get("data_added", 0))
        raise ProvisionError(
            "restic does not say which snapshot it made", "See `provision backup --list`.", result.stdout
        )

    def start_dump(self, snapshot: str, path: str) -> Piped:
        """Start writing a file of a snapshot to its output."""
        return Piped(self._argv("dump", snapshot, path))

    def finish_dump(self, piped: Piped) -> None:
        """Raise ProvisionError unless all of the file was written to the output."""
        result = piped.finish()
        if not result.ok:
            raise self._error(result, "could not be read")

    def failure(self, result: process.Result, what: str) -> ProvisionError:
        """Return the error for a program of this repository that failed."""
        return self._error(result, what)

    def _error(self, result: process.Result, what: str) -> ProvisionError:
        detail = result.stderr or result.stdout
        if _is(result, _LOCKED_OUT):
            return UsageError(
                f"repository {self.location}: the password is wrong",
                "Give the one that it was made with: RESTIC_PASSWORD, or --password-file.",
            )
        if _is(result, _MISSING):
            return UsageError(f"there is no repository at {self.location}", "Is it spelt as when it was made?", detail)
        hint = "Read what restic says above, and run the same command again."
        return ProvisionError(f"repository {self.location} {what}", hint, detail)


def _is(result: process.Result, sign: tuple[int, str]) -> bool:
    return result.code == sign[0] or sign[1] in result.stderr


def require() -> None:
    """Raise UsageError unless restic is installed, in a version that is known to work."""
    if shutil.which("restic") is None:
        raise UsageError("restic is not installed on this machine", _INSTALL)
    said = process.run(["restic", "version"], timeout=30).stdout
    found = re.match(r"restic (\d+)\.(\d+)", said)
    if found and tuple(int(part) for part in found.groups()) < _OLDEST:
        raise UsageError(f"this is {said.split(' compiled')[0]}, which is too old", "Install restic 0.14 or later.")


def password_in_environment() -> bool:
    """Whether restic finds the password in the environment."""
    return any(os.environ.get(name) for name in _PASSWORD_VARIABLES)


def ensure_password(path: Path) -> None:
    """Make a password in a file that only its owner may read."""
    ensure_private(path, secrets.token_urlsafe(32) + "\n")
