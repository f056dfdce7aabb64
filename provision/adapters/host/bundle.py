"""The bundle: one archive of Python packages and jars, the same bytes whenever it is made of the same files."""

from __future__ import annotations

import gzip
import hashlib
import sys
import tarfile
from typing import TYPE_CHECKING, Final

from provision.base.constants import NODE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_STAMP: Final = 315532800
"""Seconds: the first of January 1980, before which zip archives know no time."""
_LEVEL: Final = 1
"""Compiled modules shrink little more at higher levels, which take many times as long."""
_OF_THIS_MACHINE: Final = ("direct_url.json", "uv_cache.json", "REQUESTED")
"""Files in a package's .dist-info that say where this machine took it from, and when."""
_CHUNK: Final = 1 << 20


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tidy(target: Path) -> None:
    """Make a folder that uv has installed into fit for the nodes: scripts for their Python, no traces of this machine.

    Compiled modules are the nodes' own task: these are of another Python.
    """
    (target / ".lock").unlink(missing_ok=True)
    for path in [*target.glob("*.dist-info/*")]:
        if path.name in _OF_THIS_MACHINE:
            path.unlink()
    for script in (target / "bin").glob("*"):
        data = script.read_bytes()
        if data.startswith(b"#!"):
            first, second, rest = (*data.split(b"\n", 2), b"", b"")[:3]
            head = b"\n".join((first, second)).replace(sys.executable.encode(), f"{NODE.venv}/bin/python".encode())
            script.write_bytes(b"\n".join((head, rest)))


def pack(folder: Path, archive: Path) -> str:
    """Write all files of `folder` into a new tar.gz; return the SHA-256 of its content."""
    with archive.open("wb") as raw, gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as zipped:
        hashing = hashlib.sha256()

        class _Sink:
            """Hashes what it writes: the content, and not what a version of zlib makes of it."""

            def write(self, data: bytes) -> int:
                hashing.update(data)
                return zipped.write(data)

        with tarfile.open(fileobj=_Sink(), mode="w|", format=tarfile.PAX_FORMAT, bufsize=_CHUNK) as tar:  # type: ignore[call-overload]
            for path in _sorted(folder):
                tar.add(path, path.relative_to(folder).as_posix(), recursive=False, filter=_plain)
    return hashing.hexdigest()


def _sorted(folder: Path) -> Sequence[Path]:
    return sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix())


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Keep name, content, and whether it may be executed."""
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    info.mtime = _STAMP
    info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
    return info
