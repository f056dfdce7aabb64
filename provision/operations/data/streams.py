"""Archives of a master's data, and bytes on their way from one program to another."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any, Final

from provision.adapters.onnode import master, merge
from provision.adapters.remote import Remote, over_ssh
from provision.base.constants import HUB_GROUP, NODE
from provision.base.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from provision.adapters.host.process import Piped, Result
    from provision.base.progress import Progress
    from provision.operations.cluster.nodes import LiveCluster

CHUNK: Final = 1 << 20
_PARTS: Final = 20
_LEAST: Final = 1_000_000
_STEP: Final = 100_000_000
UNREACHABLE: Final = 255
"""Exit code of OpenSSH when there is no connection."""
_FULL: Final = "No space left on device"
_LAYOUT: Final = {"group": HUB_GROUP, "hub": NODE.hub_state, "unit": "jupyterhub"}


class Meter:
    """Shows how much of something has gone by.

    At every twentieth part, but not more often than each megabyte; every 100 MB if the whole is unknown (0).
    """

    def __init__(self, progress: Progress, item: str, total: int) -> None:
        self._progress = progress
        self._item = item
        self._total = total
        self._parts = min(_PARTS, total // _LEAST) or 1
        self._shown = -1
        self.bytes = 0

    def advance(self, count: int) -> None:
        """Add bytes."""
        self.bytes += count
        # The total is an estimate: an archive is a little more or less.
        part = min(self.bytes * self._parts // self._total, self._parts) if self._total else self.bytes // _STEP
        if part != self._shown:
            self._shown = part
            whole = f" of {size(self._total)}" if self._total else ""
            self._progress.update(self._item, f"{size(self.bytes)}{whole}")


def size(count: int) -> str:
    """Format a number of bytes: 512 bytes, 1.2 MB, 3.4 GB."""
    if count < 1000:
        return f"{count} bytes"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"


def copy(source: IO[bytes], target: IO[bytes], advance: Callable[[int], None]) -> None:
    """Copy everything; `advance` is called with the bytes that were copied."""
    while part := source.read(CHUNK):
        target.write(part)
        advance(len(part))
    target.flush()


class Archives:
    """The archives that a master gives and takes (adapters/onnode/master.py)."""

    def __init__(self, remote: Remote, layout: dict[str, str] | None = None) -> None:
        self.remote = remote
        self._layout = layout or dict(_LAYOUT)

    def _start(self, do: str, **order: object) -> Piped:
        return self.remote.start(master, {"do": do, "master": self._layout, **order}, needs=(merge,))

    def _ask(self, do: str, **order: object) -> dict[str, Any]:
        with self._start(do, **order) as piped:
            result = piped.finish()
        if not result.ok:
            raise self.failure(result)
        answer: dict[str, Any] = json.loads(result.stdout or "{}")
        return answer

    def size(self, users: Sequence[str] | None = None) -> dict[str, Any]:
        """Return the manifest that an archive would have; None for everything. `bytes` is about its size."""
        return self._ask("size", users=users and list(users))

    def start_archive(self, cluster: str, users: Sequence[str] | None = None, *, stop: bool = False) -> Piped:
        """Start an archive. `stop`: the Hub is stopped before, and after a whole archive it stays so."""
        return self._start("archive", cluster=cluster, users=users and list(users), stop=stop)

    def start_receive(self) -> Piped:
        """Start taking in an archive, which changes nothing that people see."""
        return self._start("receive")

    def place(self, users: Sequence[str] | None = None, *, replace: bool = False, same: bool = False) -> dict[str, Any]:
        """Put what was taken in into its places; return the report (users, skipped, files, kept, left_out).

        `same`: it is of a master of the same cluster, whose removed users' files keep their numbers.
        """
        return self._ask("place", users=users and list(users), replace=replace, same=same)

    def clear(self) -> None:
        """Remove what was taken in and not put in its place."""
        self._ask("clear")

    def start_hub(self) -> None:
        """Start the Hub."""
        self._ask("start")

    def failure(self, result: Result) -> ProvisionError:
        """Return the error for a program of this master that failed."""
        name, last = self.remote.name, result.stderr.strip().splitlines()[-1:]
        if result.code == UNREACHABLE:
            hint = "`provision status` shows its state; `provision ssh` tries the connection."
            return ProvisionError(f"{name} cannot be reached by SSH", hint, result.stderr)
        try:
            said = json.loads("".join(last))
            what, detail = said["what"], said["detail"]
        except (ValueError, KeyError, TypeError):
            what, detail = f"its program ended with {result.code}", result.stderr
        if _FULL in what + detail:
            return ProvisionError(f"the disk of {name} is full", "Remove something there, and run this again.", detail)
        return ProvisionError(f"{name}: {what}", "Run the same command again.", detail)


def send_archive(
    archives: Archives, source: IO[bytes], check: Callable[[], None], advance: Callable[[int], None]
) -> dict[str, Any]:
    """Let a master take in an archive; return the manifest.

    `check` is called at the end of `source`, before the master sees it: it raises if that was no whole archive.
    """
    with archives.start_receive() as sink:
        try:
            copy(source, sink.feed, advance)
            check()
        except BrokenPipeError:
            raise archives.failure(sink.finish()) from None
        received = sink.finish()
    if not received.ok:
        raise archives.failure(received)
    manifest: dict[str, Any] = json.loads(received.stdout)
    return manifest


def archives_of(cluster: LiveCluster) -> Archives:
    """Return the archives of a live cluster's master."""
    return Archives(over_ssh(cluster.ssh_config, cluster.hub.name))
