"""A backup's file: written completely or not at all, readable for its owner alone, and read as a stream."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import tempfile
import time
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.backup import MANIFEST, ArchiveEntry, read_manifest, verify

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from provision.model.localcloud.backup import Manifest

_CHUNK: Final = 1 << 20
# Images are compressed already, and dumps shrink to a tenth even at this level.
_LEVEL: Final = 1
_LARGEST_MANIFEST: Final = 64 << 20


class Writer:
    """A backup that is being written; `files` are its files so far, by name."""

    def __init__(self, tar: tarfile.TarFile, folder: Path) -> None:
        self._tar = tar
        self._folder = folder
        self.files: dict[str, ArchiveEntry] = {}

    def add(self, name: str, content: Iterable[bytes]) -> None:
        """Add a file whose length is not known before its end."""
        with tempfile.TemporaryFile(dir=self._folder) as spool:
            for chunk in content:
                spool.write(chunk)
            size = spool.tell()
            spool.seek(0)
            self.add_file(name, spool, size)

    def add_file(self, name: str, content: IO[bytes], size: int) -> None:
        """Add a file of a known length."""
        hashing = _Hashing(content)
        self._tar.addfile(_info(name, size), hashing)
        self.files[name] = ArchiveEntry(size, hashing.hexdigest())

    def finish(self, manifest: Manifest) -> None:
        """Add the list of files as the last one."""
        text = manifest.text().encode()
        self._tar.addfile(_info(MANIFEST, len(text)), io.BytesIO(text))


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """Write a new backup, which appears under its name when it is complete.

    Raises UsageError for a path that cannot be written, ProvisionError when writing fails.
    """
    refuse_existing(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        hint = "Name a file in a folder that you may write to."
        raise UsageError(f"{path} cannot be written: {error.strerror}", hint) from None
    try:
        with os.fdopen(handle, "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=_LEVEL) as tar:
                yield Writer(tar, path.parent)
            file.flush()
            os.fsync(file.fileno())
        # Private from the first byte: mkstemp makes files of mode 0600.
        Path(name).replace(path)
    except OSError as error:
        hint = "Free some space, or name a file elsewhere."
        raise ProvisionError(f"{path} could not be written: {error}", hint) from error
    finally:
        Path(name).unlink(missing_ok=True)


def refuse_existing(path: Path) -> None:
    """Raise UsageError for a file that exists: it may be the only copy of somebody's data."""
    if path.exists():
        raise UsageError(f"{path} exists", "Name another file, or remove this one.")


def verified(path: Path) -> Manifest:
    """Read a whole backup and return its manifest; raises UsageError when anything in it has changed."""
    manifest, found = None, {}
    try:
        # Reading a member's content may fail as well as finding the next one.
        with _readable():
            for name, content in members(path):
                if name == MANIFEST:
                    manifest = read_manifest(content.read(_LARGEST_MANIFEST))
                else:
                    hashing = _Hashing(content)
                    size = sum(len(chunk) for chunk in chunks(hashing))
                    found[name] = ArchiveEntry(size, hashing.hexdigest())
        return verify(manifest, found)
    except UsageError as error:
        raise UsageError(f"{path} is no backup that can be restored: {error.message}", error.hint) from None


def members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name and the content of each file in a backup; the content can be read until the next one."""
    with _readable(), gzip.open(path) as plain:
        with tarfile.open(fileobj=plain, mode="r|") as tar:
            for info in tar:
                content = tar.extractfile(info) if info.isreg() else None
                if content is None:
                    raise UsageError(f"{info.name} in it is no plain file", "Use another copy of this file.")
                yield info.name, content
        # To the very end: gzip's checksum comes last.
        while plain.read(_CHUNK):
            pass


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UsageError(f"it cannot be unpacked ({error})", "Use another copy of this file.") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"it cannot be read ({reason})", "Name a file made by `provision cloud backup`.") from None


def chunks(content: IO[bytes] | io.RawIOBase) -> Iterator[bytes]:
    """Read a file in pieces."""
    while chunk := content.read(_CHUNK):
        yield chunk


class _Hashing(io.RawIOBase):
    """A file that reads from another one and hashes what it reads."""

    def __init__(self, inner: IO[bytes]) -> None:
        self._inner = inner
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._inner.read(size)
        self._hash.update(chunk)
        return chunk

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(time.time())
    return info
