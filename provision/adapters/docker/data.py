"""The data in the local cloud's containers: databases are dumped and loaded, files are read and written."""

from __future__ import annotations

import io
import tarfile
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final, cast

from docker.errors import NotFound
from docker.types import LogConfig

from provision.adapters.docker.client import OWN_LABELS, connect, engine_errors, ignore_missing
from provision.adapters.docker.programs import Program, run_program
from provision.base.errors import ProvisionError
from provision.model.localcloud.backup import user_id
from provision.model.localcloud.settings import LABEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_DUMP: Final = (
    # A snapshot of all databases at one moment, even while others write.
    "mariadb-dump", "--single-transaction", "--quick", "--hex-blob", "--routines", "--events", "--triggers",
    "--add-drop-database", "--databases",
)  # fmt: skip
_LOADED: Final = "restore.sql"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file goes: an existing folder, a path below it, and the user who owns the file."""

    folder: str
    name: str
    user: str


class ContainerData:
    """The data of containers, which are given by name. To read and write files they need not run."""

    def __init__(self) -> None:
        # Seconds: dumps and images may be large.
        self._client = connect(3600)

    def query(self, container: str, sql: str) -> list[list[str]]:
        """Run a query in a database container; return its rows. Raises ProvisionError when it fails."""
        with engine_errors():
            done = run_program(self._client.api, container, ["mariadb", "-NBe", sql])
        _judge(container, "mariadb", done.code, done.err)
        return [line.split("\t") for line in done.out.decode().splitlines()]

    def dump(self, container: str, databases: Sequence[str]) -> Iterator[bytes]:
        """Yield SQL that recreates these databases as they are now; raises ProvisionError, perhaps only at the end."""
        return self._run(container, [*_DUMP, *databases])

    def load(self, container: str, sql: Iterable[bytes], size: int) -> None:
        """Run `size` bytes of SQL in a database container; raises ProvisionError with its first error."""
        self.put(container, Place("/run", _LOADED, "root"), sql, size)
        try:
            for _ in self._run(container, ["sh", "-c", f"mariadb --binary-mode </run/{_LOADED}"], printed=False):
                pass
        finally:
            for _ in self._run(container, ["rm", "-f", f"/run/{_LOADED}"], printed=False):
                pass

    def files(self, container: str, folder: str) -> Iterator[tuple[str, IO[bytes], int]]:
        """Yield the name (below `folder`), content and size of each regular file; nothing without such a folder."""
        with engine_errors():
            try:
                stream, _ = self._client.api.get_archive(container, folder)
            except NotFound:
                return
            with tarfile.open(fileobj=_Stream(stream), mode="r|") as tar:
                for info in tar:
                    content = tar.extractfile(info) if info.isreg() else None
                    if content:
                        # A name starts with the folder's own; that of a single file does not.
                        yield info.name.partition("/")[2] or info.name, content, info.size

    def put(self, container: str, place: Place, content: Iterable[bytes], size: int) -> None:
        """Write a file of `size` bytes into a container (or its volume), readable for one user alone."""
        passwd = b"".join(part.read() for _, part, _ in self.files(container, "/etc/passwd"))
        try:
            owner = user_id(passwd.decode(), place.user)
        except KeyError:
            raise ProvisionError(f"{container} has no user {place.user}", "Its image is not one of ours.") from None
        with engine_errors():
            self._client.api.put_archive(container, place.folder, cast("Any", _tar(place, owner, content, size)))

    def create_holder(self, image: str, volume: str, folder: str) -> str:
        """Create a container that never runs, with a volume (new, if it does not exist) at `folder`; return its id.

        Through it, files in the volume can be read and written.
        """
        with engine_errors():
            self._client.volumes.create(volume, labels=OWN_LABELS)
            mounts = {volume: {"bind": folder, "mode": "rw"}}
            return str(self._client.containers.create(image, ["true"], volumes=mounts, labels=OWN_LABELS).id)

    def entries(self, image: str, volume: str, mount: str, folder: str) -> list[str]:
        """List a folder of a volume, which is mounted at `mount`; nothing without such a folder.

        A container of this image does so: Docker itself would send all content with the names.
        """
        with engine_errors():
            printed: bytes = self._client.containers.run(
                image,
                entrypoint=["sh", "-c", 'ls -A "$0" 2>/dev/null || true', folder],
                volumes={volume: {"bind": mount, "mode": "ro"}},
                network_mode="none",
                # What it prints is read from its log, which not every driver that may be the engine's own gives back.
                log_config=LogConfig(type="json-file"),
                labels=OWN_LABELS,
                remove=True,
            )
        return printed.decode(errors="replace").splitlines()

    def volumes(self) -> list[str]:
        """Return the names of all volumes of the cloud."""
        with engine_errors():
            return sorted(str(volume.name) for volume in self._client.volumes.list(filters={"label": LABEL}))

    def remove(self, container: str) -> None:
        """Remove a container; one that is gone already is no error."""
        with engine_errors():
            ignore_missing(lambda: self._client.api.remove_container(container, force=True))

    def remove_volume(self, name: str) -> None:
        """Remove a volume; one that is gone already is no error."""
        with engine_errors():
            ignore_missing(lambda: self._client.volumes.get(name).remove(force=True))

    def _run(self, container: str, argv: Sequence[str], *, printed: bool = True) -> Iterator[bytes]:
        """Run a program in a container and yield its output; raises ProvisionError with its errors when it fails.

        Also when Docker loses the end of what it printed; with `printed=False` that does not matter.
        """
        with engine_errors():
            program = Program(self._client.api, container, argv)
            yield from program.output()
        _judge(container, argv[0], program.code, program.errors)
        if printed and not program.complete:
            raise ProvisionError(
                f"Docker lost a part of what {argv[0]} in {container} printed", "Run the command again."
            )


def _judge(container: str, program: str, code: int, errors: bytes) -> None:
    if code:
        raise ProvisionError(
            f"{program} in {container} ended with code {code}",
            f"See `docker logs {container}`.",
            errors.decode(errors="replace"),
        )


def _tar(place: Place, owner: tuple[int, int], content: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield a tar archive of one file and the folders on its path."""
    folders = place.name.split("/")[:-1]
    for depth in range(1, len(folders) + 1):
        info = _entry("/".join(folders[:depth]), owner, 0o750)
        info.type = tarfile.DIRTYPE
        yield info.tobuf()
    info = _entry(place.name, owner, 0o600)
    info.size = size
    yield info.tobuf()
    yield from content
    # The content is padded to a whole block, and two empty blocks end the archive.
    yield b"\0" * (-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


def _entry(name: str, owner: tuple[int, int], mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    (info.uid, info.gid), info.mode, info.mtime = owner, mode, int(time.time())
    return info


class _Stream(io.RawIOBase):
    """A file, to be read once, whose content comes in pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        found = [self._rest]
        have = len(self._rest)
        while size < 0 or have < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            found.append(piece)
            have += len(piece)
        content = b"".join(found)
        cut = len(content) if size < 0 else size
        self._rest = content[cut:]
        return content[:cut]
