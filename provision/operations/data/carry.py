"""People's data while its master is replaced: streamed into the cluster's folder, and from there to the new master.

A file is there whole or not at all, under the id of the server that it comes from. It is removed once it was restored:
a killed `up` goes on with it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from provision.base.errors import ProvisionError
from provision.operations.data.streams import Meter, archives_of, copy, send_archive, size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from provision.base.progress import Progress
    from provision.operations.cluster.nodes import LiveCluster
    from provision.operations.data.streams import Archives

FOLDER: Final = "carried"
_SPARE: Final = 64 << 20
"""Bytes that are left free on this machine."""


def waiting_data(folder: Path) -> tuple[str, ...]:
    """Return the ids of the servers whose data is in a cluster's folder and was not restored yet, the oldest first."""
    files = sorted((folder / FOLDER).glob("*.tar"), key=lambda path: path.stat().st_mtime_ns)
    return tuple(path.stem for path in files)


class DataDoor(Protocol):
    """People's data while a master is replaced."""

    def waiting(self) -> tuple[str, ...]:
        """Return the ids of the servers whose data is here and was not restored yet, the oldest first."""

    def carry(self, cluster: LiveCluster) -> None:
        """Take over the data of a cluster's master; its Hub stays stopped."""

    def restore(self, cluster: LiveCluster, servers: Sequence[str]) -> None:
        """Put the data of servers onto a cluster's master, and remove it here."""

    def resume(self, cluster: LiveCluster) -> None:
        """Let a master go on that was to be replaced and is not."""

    def discard(self, server: str) -> None:
        """Remove the data of a server."""


class CarriedData:
    """The data of masters that were replaced, in a cluster's folder."""

    def __init__(
        self, folder: Path, progress: Progress, archives: Callable[[LiveCluster], Archives] = archives_of
    ) -> None:
        """Keep it below `folder`, the cluster's. `archives` reaches a master."""
        self.folder = folder / FOLDER
        self.progress = progress
        self._archives = archives

    def waiting(self) -> tuple[str, ...]:
        """Return the ids of the servers whose data is here and was not restored yet, the oldest first."""
        return waiting_data(self.folder.parent)

    def carry(self, cluster: LiveCluster) -> None:
        """Take over the data of a cluster's master, whose Hub stays stopped afterwards: nothing is written behind it.

        Raises ProvisionError when the master cannot be reached, or this machine has not the room; then the Hub goes on.
        """
        archives, server, name = self._archives(cluster), cluster.hub.id, cluster.hub.name
        try:
            expected: int = archives.size()["bytes"]
        except ProvisionError as error:
            raise _cannot(name, error) from None
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        if expected + expected // 50 + _SPARE > free:
            raise ProvisionError(
                f"the data of {name} is {size(expected)}, and {self.folder} has room for {size(free)}",
                "Free some space on this machine. Nothing was deleted.",
            )
        for left in self.folder.glob(".*"):
            left.unlink()
        # mkstemp: mode 0600 from the first byte.
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=f".{server}.")
        try:
            with os.fdopen(handle, "wb") as file:
                meter = Meter(self.progress, f"data of {name}", expected)
                with archives.start_archive(cluster.spec.name, stop=True) as source:
                    copy(source.output, file, meter.advance)
                    result = source.finish()
                if not result.ok:
                    raise _cannot(name, archives.failure(result))
                os.fsync(file.fileno())
            Path(temporary).replace(self.folder / f"{server}.tar")
        except OSError as error:
            raise ProvisionError(
                f"the data of {name} could not be written to {self.folder}: {error.strerror}",
                "Free some space on this machine. Nothing was deleted.",
            ) from None
        finally:
            Path(temporary).unlink(missing_ok=True)

    def restore(self, cluster: LiveCluster, servers: Sequence[str]) -> None:
        """Put the data of servers onto a cluster's master, and remove it here. What is newer there stays."""
        archives = self._archives(cluster)
        for server in servers:
            path = self.folder / f"{server}.tar"
            meter = Meter(self.progress, f"data for {cluster.hub.name}", path.stat().st_size)
            with path.open("rb") as file:
                send_archive(archives, file, lambda: None, meter.advance)
            report = archives.place(same=True)
            if report["left_out"]:
                self.progress.note(f"Left out, since they are devices: {', '.join(report['left_out'])}.")
            if report["skipped"]:
                self.progress.note(f"Not restored, since hub.users does not name them: {', '.join(report['skipped'])}.")
                self._keep(path)
            else:
                path.unlink()

    def _keep(self, path: Path) -> None:
        """Keep an archive that has data of users who are not there now."""
        kept = path.with_suffix(".tar.kept")
        path.replace(kept)
        self.progress.note(f"Their files are in {kept}; remove it when nobody needs them.")

    def resume(self, cluster: LiveCluster) -> None:
        """Let a master go on that was to be replaced and is not: what was taken from it is on it still."""
        self._archives(cluster).start_hub()
        self.discard(cluster.hub.id)

    def discard(self, server: str) -> None:
        """Remove the data of a server."""
        (self.folder / f"{server}.tar").unlink(missing_ok=True)


def _cannot(name: str, error: ProvisionError) -> ProvisionError:
    return ProvisionError(
        f"the data of {name} cannot be carried over to a new node: {error.message}",
        "Nothing was deleted. Run it again once that is mended, or give --without-data to go on without its files.",
        error.detail,
    )
