"""Files that have come in go to their places: owners by name, nothing removed, nothing newer replaced unasked."""

from __future__ import annotations

import os
import stat
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ACLS = ("system.posix_acl_access", "system.posix_acl_default")
_ACL_NAMED = {0x02: "users", 0x08: "groups"}
"""Tags of access list entries that name a user or a group (linux/posix_acl.h)."""
_ACL_ENTRY = struct.Struct("<HHI")
PEOPLE = range(1000, 60000)
"""Numbers of people and of their groups: those below are the system's, those above containers' and services'."""


@dataclass(frozen=True)
class Ids:
    """How the ids of the old master become those of this one; an id that is not in them has nobody here."""

    users: dict[int, int]
    groups: dict[int, int]
    taken: tuple[frozenset[int], frozenset[int]] | None = None
    """The numbers of this master's users and groups, where those that nobody has stay as they are; else None."""

    def user(self, number: int) -> int | None:
        """Return a user's id here."""
        return self._here(number, self.users, 0)

    def group(self, number: int) -> int | None:
        """Return a group's id here."""
        return self._here(number, self.groups, 1)

    def _here(self, number: int, known: dict[int, int], kind: int) -> int | None:
        if number in known:
            return known[number]
        stays = self.taken is not None and number in PEOPLE and number not in self.taken[kind]
        return number if stays else None

    def acl(self, value: bytes) -> bytes:
        """Return an access list (an extended attribute's value) with this master's ids, without those of nobody."""
        head, entries = value[:4], value[4:]
        kept = []
        for tag, permissions, number in _ACL_ENTRY.iter_unpack(entries):
            if tag in _ACL_NAMED:
                here = self.user(number) if _ACL_NAMED[tag] == "users" else self.group(number)
                if here is None:
                    continue
                number = here  # noqa: PLW2901 - the entry with its new id
            kept.append((tag, permissions, number))
        # The kernel wants the named ones in the order of their ids.
        return head + b"".join(
            _ACL_ENTRY.pack(*entry) for entry in sorted(kept, key=lambda entry: (entry[0], entry[2]))
        )


@dataclass
class Report:
    """What putting data in its places did."""

    users: list[str] = field(default_factory=list)
    """Users whose homes and passwords were restored."""
    skipped: list[str] = field(default_factory=list)
    """Users of the archive who have no account here."""
    files: int = 0
    kept: list[str] = field(default_factory=list)
    """Paths that were left alone: what is there is newer."""
    left_out: list[str] = field(default_factory=list)
    """Paths of devices: their numbers may be those of other devices on this machine."""


class Merge:
    """Moves files from where they came in to their places. Their users cannot lead it elsewhere by links."""

    def __init__(self, ids: Ids, report: Report, *, replace: bool) -> None:
        self.ids = ids
        self.report = report
        self.replace = replace
        self._owned: set[tuple[int, int]] = set()
        """Files of several names that have their owner already: with ids that swap, twice would be wrong."""

    def folder(self, source: Path, target: Path) -> None:
        """Move a folder with its rights; the target is made if it is missing."""
        if not source.is_dir():
            return
        target.mkdir(mode=0o700, exist_ok=True)
        seen = source.stat(follow_symlinks=False)
        place = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            self._entries(source, place, str(target))
            self._like(source, seen, place)
        finally:
            os.close(place)

    def entries(self, source: Path, target: Path) -> None:
        """Move what is in a folder, whose own rights stay as they are here."""
        place = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            self._entries(source, place, str(target))
        finally:
            os.close(place)

    def _entries(self, source: Path, place: int, shown: str) -> None:
        for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
            there = None
            with suppress(FileNotFoundError):
                there = os.stat(entry.name, dir_fd=place, follow_symlinks=False)
            seen = entry.stat(follow_symlinks=False)
            path = f"{shown}/{entry.name}"
            was_folder, is_folder = entry.is_dir(follow_symlinks=False), bool(there and stat.S_ISDIR(there.st_mode))
            newer = there is not None and there.st_mtime_ns > seen.st_mtime_ns and not self.replace
            if _is_device(seen):
                self.report.left_out.append(path)
            # A folder that is there now is never removed for a file.
            elif there and ((is_folder and not was_folder) or (newer and not is_folder)):
                self.report.kept.append(path)
            elif was_folder:
                if there and not is_folder:
                    os.unlink(entry.name, dir_fd=place)
                if not is_folder:
                    os.mkdir(entry.name, 0o700, dir_fd=place)
                inner = os.open(entry.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
                try:
                    self._entries(Path(entry.path), inner, path)
                    self._like(Path(entry.path), seen, inner)
                finally:
                    os.close(inner)
            else:
                self._own(Path(entry.path), seen)
                os.rename(entry.path, entry.name, dst_dir_fd=place)
                self.report.files += 1

    def _owner(self, seen: os.stat_result) -> tuple[int, int]:
        """Return a file's owner and group here: root where the old master's has no account."""
        return self.ids.user(seen.st_uid) or 0, self.ids.group(seen.st_gid) or 0

    def _rights(self, seen: os.stat_result) -> int:
        """Return a file's permissions here: a program that ran as somebody who is not here must not run as root."""
        rights = stat.S_IMODE(seen.st_mode)
        if self.ids.user(seen.st_uid) is None:
            rights &= ~stat.S_ISUID
        if self.ids.group(seen.st_gid) is None:
            rights &= ~stat.S_ISGID
        return rights

    def _own(self, path: Path, seen: os.stat_result) -> None:
        """Give a file that has come in its owner here."""
        if seen.st_nlink > 1:
            if (seen.st_dev, seen.st_ino) in self._owned:
                return
            self._owned.add((seen.st_dev, seen.st_ino))
        owner = self._owner(seen)
        if owner != (seen.st_uid, seen.st_gid):
            os.chown(path, *owner, follow_symlinks=False)
            if not stat.S_ISLNK(seen.st_mode):
                # chown takes setuid and setgid away.
                path.chmod(self._rights(seen))
        for name, value in attributes(path).items():
            if name in ACLS and self.ids.acl(value) != value:
                os.setxattr(path, name, self.ids.acl(value), follow_symlinks=False)

    def _like(self, source: Path, seen: os.stat_result, place: int) -> None:
        """Give a folder the owner, the rights and the time of the one that came in, as it was before it was emptied."""
        now = os.fstat(place)
        if (now.st_uid, now.st_gid) != self._owner(seen):
            os.fchown(place, *self._owner(seen))
        os.fchmod(place, self._rights(seen))
        for name, value in attributes(source).items():
            os.setxattr(place, name, self.ids.acl(value) if name in ACLS else value)
        os.utime(place, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def attributes(path: Path) -> dict[str, bytes]:
    """Return a file's extended attributes, access lists among them; none where the file system has none."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}


def _is_device(seen: os.stat_result) -> bool:
    # The character device 0:0 is none: containers of users mark files with it that were removed.
    return stat.S_ISBLK(seen.st_mode) or (stat.S_ISCHR(seen.st_mode) and seen.st_rdev != 0)


def translate(old: dict[str, dict[str, int]], new: dict[str, dict[str, int]], *, keep: bool = False) -> Ids:
    """Match the ids of two masters by the names that they stand for.

    `keep`: both are masters of one cluster, which gives no number to two people. A number that no account here has is
    that of somebody who was removed, and who may come back.
    """
    users = {number: new["users"][name] for name, number in old["users"].items() if name in new["users"]}
    groups = {number: new["groups"][name] for name, number in old["groups"].items() if name in new["groups"]}
    taken = frozenset(new["users"].values()), frozenset(new["groups"].values())
    return Ids(users, groups, taken if keep else None)
