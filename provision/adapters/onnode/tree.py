"""Files and folders as a stream, out of one machine and into another. The same code runs on both sides.

Data that arrives is written under another name first and then renamed: whatever breaks off leaves no half file. What a
stream says is not trusted: nothing is written outside the folder that it is for, not through links either.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import stat
import sys
import tarfile
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CHUNK = 1 << 20
MTIME = "PROVISION.mtime"
"""Key of a file's time of change in nanoseconds, which tar's own field rounds."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Refused(Exception):  # noqa: N818 - it is what happened
    """It cannot be done, and nothing was changed."""


class Unwritable(OSError):  # noqa: N818 - it is what happened
    """What has arrived cannot be written for a reason of ours."""


@dataclass(frozen=True)
class Item:
    """A file, link or folder that is sent under a name."""

    path: str
    name: str
    seen: os.stat_result


@dataclass
class Arrived:
    """What was written."""

    files: int = 0
    bytes: int = 0
    deleted: int = 0
    failed: list[str] = field(default_factory=list)
    """What could not be written or deleted, each with the reason."""
    full: bool = False
    """Whether it ended because there is no space left."""


def reason(error: OSError) -> str:
    """Say why something failed, without its path."""
    return error.strerror or str(error)


# --- out


def collect(paths: Sequence[tuple[str, str]], *, deep: bool = True) -> tuple[list[Item], list[str]]:
    """List what is to be sent of (path, name) pairs, and what is left out: sockets, devices and pipes.

    A link that is named itself is followed; links inside folders stay links. `deep`: folders with what is in them.
    Raises Refused when anything is missing or cannot be read: all of that is named.
    """
    items: list[Item] = []
    skipped: list[str] = []
    wrong: list[str] = []

    def add(path: str, name: str, *, follow: bool) -> None:
        try:
            seen = os.stat(path, follow_symlinks=follow)
            if stat.S_ISDIR(seen.st_mode):
                items.append(Item(path, name, seen))
                for entry in sorted(os.listdir(path)) if deep else ():
                    add(os.path.join(path, entry), f"{name}/{entry}", follow=False)
            elif stat.S_ISREG(seen.st_mode) and not os.access(path, os.R_OK):
                wrong.append(f"{path}: {os.strerror(errno.EACCES)}")
            elif stat.S_ISREG(seen.st_mode) or stat.S_ISLNK(seen.st_mode):
                items.append(Item(path, name, seen))
            else:
                skipped.append(path)
        except OSError as error:
            wrong.append(f"{path}: {reason(error)}")

    for path, name in paths:
        add(path, name, follow=deep)
    if wrong:
        more = f", and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise Refused("; ".join(wrong[:5]) + more)
    return items, skipped


def total(items: Sequence[Item]) -> int:
    """Return the bytes of the files' contents."""
    return sum(item.seen.st_size for item in items if stat.S_ISREG(item.seen.st_mode))


class _Counting:
    """A file whose reader is counted."""

    def __init__(self, inner: IO[bytes], advance: Callable[[int], None]) -> None:
        self._inner = inner
        self._advance = advance

    def read(self, size: int) -> bytes:
        part = self._inner.read(size)
        self._advance(len(part))
        return part


def send(items: Sequence[Item], out: IO[bytes], advance: Callable[[int], None]) -> None:
    """Write items as a stream; `advance` is called with the bytes that were read. Raises OSError, also for a file that
    becomes shorter meanwhile.
    """
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, bufsize=CHUNK) as tar:
        for item in items:
            info = tarfile.TarInfo(item.name)
            info.mode = stat.S_IMODE(item.seen.st_mode)
            info.mtime = int(item.seen.st_mtime)
            info.pax_headers = {MTIME: str(item.seen.st_mtime_ns)}
            if stat.S_ISDIR(item.seen.st_mode):
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            elif stat.S_ISLNK(item.seen.st_mode):
                info.type, info.linkname = tarfile.SYMTYPE, os.readlink(item.path)
                tar.addfile(info)
            else:
                info.size = item.seen.st_size
                with open(item.path, "rb") as file:
                    tar.addfile(info, _Counting(file, advance))  # type: ignore[arg-type]


# --- in


def destination(target: str, *, several: bool, contents: bool) -> tuple[str, str]:
    """Return the folder that a stream goes to, and the new name of its only top entry; empty if it keeps its own.

    As cp has it: into `target` if that is a folder, ends with a slash, or there are several sources; else `target` is
    the new name. `contents`: the stream's names are relative to `target` (sync). A folder that is missing is made, its
    parents too where a slash or `contents` says that it is one. Raises Refused.
    """
    try:
        if contents or several or target.endswith("/") or os.path.isdir(target):
            os.makedirs(target, exist_ok=True)
            folder, name = target, ""
        else:
            folder, name = os.path.split(target)
            folder = folder or "."
            if not os.path.isdir(folder):
                raise Refused(f"there is no folder {folder}")
    except OSError as error:
        raise Refused(f"{error.filename or target}: {reason(error)}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Refused(f"{folder} may not be written to")
    return folder, name


class Receiver:
    """Writes what arrives into a folder."""

    def __init__(self, folder: str, name: str = "") -> None:
        """Write below `folder`, the only top entry as `name` unless that is empty."""
        self._place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._name = name
        self._folders: list[tuple[tuple[str, ...], int, int]] = []
        self.arrived = Arrived()

    def close(self) -> None:
        """Close the folder."""
        os.close(self._place)

    def read(self, stream: IO[bytes], advance: Callable[[int], None] = lambda _: None) -> None:
        """Read a stream to its end; `advance` is called with the bytes that were written.

        What cannot be written is noted and passed over. A full disk ends it. Raises tarfile.TarError for half a stream.
        """
        with tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK) as tar:
            for member in tar:
                try:
                    self._write(tar, member, advance)
                except OSError as error:
                    self.arrived.failed.append(f"{member.name}: {reason(error)}")
                    if error.errno in _FULL:
                        self.arrived.full = True
                        return
        # The innermost first: a folder's time changes with what is written into it.
        for parts, mode, changed in sorted(self._folders, reverse=True):
            with suppress(OSError), self._parent((*parts, "")) as (folder, _):
                os.fchmod(folder, mode)
                os.utime(folder, ns=(changed, changed))

    def _parts(self, name: str) -> tuple[str, ...]:
        parts = tuple(name.split("/"))
        if not name or any(part in ("", ".", "..") for part in parts):
            raise Unwritable(errno.EINVAL, "it would be outside of the folder")
        return (self._name, *parts[1:]) if self._name else parts

    @contextmanager
    def _parent(self, parts: tuple[str, ...]) -> Iterator[tuple[int, str]]:
        """Open the folder that an entry is in, links not followed, missing ones made; yield it and the entry's name."""
        place = os.dup(self._place)
        try:
            for part in parts[:-1]:
                try:
                    inner = os.open(part, _FOLDER, dir_fd=place)
                except FileNotFoundError:
                    os.mkdir(part, 0o755, dir_fd=place)
                    inner = os.open(part, _FOLDER, dir_fd=place)
                except (NotADirectoryError, OSError) as error:
                    if error.errno in (errno.ELOOP, errno.ENOTDIR):
                        raise Unwritable(error.errno, f"{part} is a file or a link there, not a folder") from None
                    raise
                os.close(place)
                place = inner
            yield place, parts[-1]
        finally:
            os.close(place)

    def _write(self, tar: tarfile.TarFile, member: tarfile.TarInfo, advance: Callable[[int], None]) -> None:
        parts = self._parts(member.name)
        mode = member.mode & 0o777
        changed = int(member.pax_headers.get(MTIME, int(member.mtime) * 10**9))
        if member.isdir():
            with self._parent((*parts, "")):
                self._folders.append((parts, mode, changed))
            return
        with self._parent(parts) as (folder, name):
            with suppress(FileNotFoundError):
                if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    raise Unwritable(errno.EISDIR, "it is a folder there")
            # Names have 255 bytes at most; 60 characters are 240 at most.
            temporary = f".{name[:50]}.{secrets.token_hex(4)}"
            try:
                if member.issym():
                    os.symlink(member.linkname, temporary, dir_fd=folder)
                    os.utime(temporary, ns=(changed, changed), dir_fd=folder, follow_symlinks=False)
                elif member.isreg():
                    content = tar.extractfile(member)
                    assert content is not None  # noqa: S101 - a regular file has content
                    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
                    with os.fdopen(os.open(temporary, flags, 0o600, dir_fd=folder), "wb") as file:
                        while part := content.read(CHUNK):
                            file.write(part)
                            advance(len(part))
                        file.flush()
                        os.fchmod(file.fileno(), mode)
                        os.utime(file.fileno(), ns=(changed, changed))
                else:
                    raise Unwritable(errno.EINVAL, "it is no file, folder or symbolic link")
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise
        self.arrived.files += 1
        self.arrived.bytes += member.size

    def delete(self, names: Sequence[str]) -> None:
        """Delete entries, the innermost first; folders have to be empty by then."""
        for name in sorted(names, reverse=True):
            try:
                with self._parent(self._parts(name)) as (folder, last):
                    if stat.S_ISDIR(os.stat(last, dir_fd=folder, follow_symlinks=False).st_mode):
                        os.rmdir(last, dir_fd=folder)
                    else:
                        os.unlink(last, dir_fd=folder)
                self.arrived.deleted += 1
            except OSError as error:
                self.arrived.failed.append(f"{name}: {reason(error)}")


# --- comparing


def listing(folder: str, *, checksum: bool) -> dict[str, list[Any]]:
    """List what is in a folder by relative name: kind (`file`, `link`, `folder`), size, time of change (ns), and the
    file's SHA-256 or the link's target, or nothing. A folder that is missing is empty. Raises Refused.
    """
    found: dict[str, list[Any]] = {}
    if not os.path.lexists(folder):
        return found
    items, _ = collect([(folder, "")])
    if items and not stat.S_ISDIR(items[0].seen.st_mode):
        raise Refused(f"{folder} is no folder")
    for item in items[1:]:
        name, seen = item.name[1:], item.seen
        if stat.S_ISDIR(seen.st_mode):
            found[name] = ["folder", 0, 0, ""]
        elif stat.S_ISLNK(seen.st_mode):
            found[name] = ["link", 0, 0, os.readlink(item.path)]
        else:
            found[name] = ["file", seen.st_size, seen.st_mtime_ns, _hash(item.path) if checksum else ""]
    return found


def _hash(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def claim(folder: str) -> None:
    """Have a folder that is one's own and that nobody else may write into. Raises Refused for one of somebody else.

    In a folder of everybody's, as /shared is, another user could have made it, or a link in its place.
    """
    with suppress(FileExistsError):
        os.mkdir(folder, 0o755)
    seen = os.lstat(folder)
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid():
        raise Refused(f"{folder} is there already, and belongs to somebody else")
    os.chmod(folder, 0o755)  # noqa: S103 - everybody may read it


# --- as a program


def main(order: dict[str, Any]) -> int:
    """Do one thing: `claim`, `list`, `send` or `receive`.

    The first line on stdout is JSON: what came of it, {"refused": why}, or for `send` what is on its way. `send`'s
    stream follows it. `receive` begins to read after it, and ends with another line.
    """
    os.chdir(os.environ.get("HOME", "/"))
    out = sys.stdout.buffer
    try:
        if order["do"] == "claim":
            claim(order["folder"])
            _say(out, {"claimed": True})
        elif order["do"] == "list":
            _say(out, {"found": listing(order["folder"], checksum=order["checksum"])})
        elif order["do"] == "send":
            items, skipped = collect([(path, name) for path, name in order["paths"]], deep=order["deep"])
            _say(out, {"total": total(items), "skipped": skipped})
            send(items, out, lambda _: None)
        else:
            folder, name = destination(order["target"], several=order["several"], contents=order["contents"])
            with closing(Receiver(folder, name)) as receiver:
                _say(out, {"ready": True})
                receiver.delete(order["before"])
                with suppress(tarfile.TarError):
                    receiver.read(sys.stdin.buffer)
                    if not receiver.arrived.failed:
                        receiver.delete(order["after"])
                _say(out, vars(receiver.arrived))
    except Refused as error:
        _say(out, {"refused": str(error)})
        return 1
    except OSError as error:
        sys.stderr.write(f"{error.filename or 'a file'}: {reason(error)}\n")
        return 1
    return 0


def _say(out: IO[bytes], what: dict[str, Any]) -> None:
    out.write(json.dumps(what).encode() + b"\n")
    out.flush()
