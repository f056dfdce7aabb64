"""`put`, `get` and `sync`: files between this machine and the master, with the rights of a notebook user."""

from __future__ import annotations

import json
import os
import tarfile
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provision.adapters.onnode import tree
from provision.base.errors import ProvisionError, UsageError
from provision.model.data.sync import Differences, differences
from provision.operations.data.streams import UNREACHABLE, Meter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from provision.adapters.host.process import Piped
    from provision.adapters.onnode.tree import Item
    from provision.adapters.remote import Remote
    from provision.base.progress import Progress
    from provision.model.data.places import UserPath


@dataclass(frozen=True, slots=True)
class Transferred:
    """What a command transferred."""

    files: int
    bytes: int
    deleted: int = 0
    skipped: tuple[str, ...] = ()
    """Sockets, devices and pipes, which are left out."""


def put(remote: Remote, sources: Sequence[Path], target: UserPath, progress: Progress) -> Transferred:
    """Copy files and folders to the master. What they are called there follows from `target`, as cp has it.

    Raises UsageError when a source or the target will not do, before anything is changed; ProvisionError when it breaks
    off.
    """
    named = [(os.fspath(path), _name(path)) for path in sources]
    _refuse_same_names(named)
    items, skipped = _collect(named)
    order = {"target": target.path, "several": len(sources) > 1, "contents": False, "before": [], "after": []}
    arrived = _send(remote, target.user, items, order, progress)
    return Transferred(arrived["files"], arrived["bytes"], skipped=tuple(skipped))


def check_sources(sources: Sequence[Path]) -> None:
    """Raise UsageError, before anybody is asked, for local files and folders that are missing or cannot be read."""
    _collect([(os.fspath(path), _name(path)) for path in sources], deep=False)


def check_folder(local: Path, *, upload: bool) -> None:
    """Raise UsageError, before anybody is asked, for a local folder that `compare` could not use."""
    if upload and not local.is_dir():
        raise UsageError(f"there is no folder {local}", "Name the folder whose contents are to be transferred.")
    if local.exists() and not local.is_dir():
        raise UsageError(f"{local} is no folder", "Name a folder that you may read.")


def get(remote: Remote, sources: Sequence[UserPath], target: Path, progress: Progress) -> Transferred:
    """Copy files and folders from the master; `target` is a local folder or new name, as cp has it. Raises as `put`.

    Sources of several users are read one user after the other.
    """
    several = len(sources) > 1
    files = size = 0
    skipped: list[str] = []
    named = [(place, _remote_name(place)) for place in sources]
    _refuse_same_names([(str(place), name) for place, name in named])
    for user in dict.fromkeys(place.user for place in sources):
        paths = [(place.path, name) for place, name in named if place.user == user]
        with remote.start(tree, {"do": "send", "paths": paths, "deep": True}, user) as piped:
            head = _first_line(remote, piped)
            arrived = _receive(
                remote, piped, os.fspath(target), head["total"], progress, several=several, contents=False
            )
        files, size = files + arrived.files, size + arrived.bytes
        skipped += head["skipped"]
    return Transferred(files, size, skipped=tuple(skipped))


def claim(remote: Remote, place: UserPath) -> None:
    """Have a folder on the master into which nobody but its user may write. Raises UsageError where that is not so."""
    with remote.start(tree, {"do": "claim", "folder": place.path}, place.user) as piped:
        _first_line(remote, piped)


def compare(remote: Remote, local: Path, place: UserPath, *, upload: bool, checksum: bool) -> Differences:
    """Compare a local folder with one on the master; `upload`: the local one is the source.

    Raises UsageError when one cannot be read, or the source is missing.
    """
    check_folder(local, upload=upload)
    folder = place.path.rstrip("/") or "/"
    order = {"do": "list", "folder": folder, "checksum": checksum}
    with remote.start(tree, order, place.user) as piped:
        there: dict[str, list[Any]] = _first_line(remote, piped)["found"]
    if not upload and not there:
        # Nothing to send: say so if that is because the folder is not there.
        with remote.start(tree, {"do": "send", "paths": [[folder, "folder"]], "deep": False}, place.user) as piped:
            _first_line(remote, piped)
    try:
        here = tree.listing(os.fspath(local), checksum=checksum)
    except tree.Refused as error:
        raise UsageError(f"{error}", "Name a folder that you may read.") from None
    return differences(here, there) if upload else differences(there, here)


def sync(
    remote: Remote,
    local: Path,
    place: UserPath,
    found: Differences,
    progress: Progress,
    *,
    upload: bool,
    delete: bool,
) -> Transferred:
    """Transfer what `compare` has found; `delete` what only the target has.

    Raises UsageError where a folder stands against a file and nothing may be deleted.
    """
    if found.conflicts and not delete:
        raise UsageError(
            f"a folder on one side is a file or a link on the other: {', '.join(found.conflicts[:5])}",
            "Remove it from the target, or let --delete do so.",
        )
    before, after = (list(found.conflicts), list(found.delete)) if delete else ([], [])
    if not (found.transfer or before or after):
        return Transferred(0, 0)
    if upload:
        items, _ = _collect([(os.path.join(local, name), name) for name in found.transfer], deep=False)  # noqa: PTH118
        order = {"target": place.path, "several": False, "contents": True, "before": before, "after": after}
        arrived = _send(remote, place.user, items, order, progress)
        return Transferred(arrived["files"], arrived["bytes"], arrived["deleted"])
    root = place.path.rstrip("/")
    paths = [(f"{root}/{name}", name) for name in found.transfer]
    with remote.start(tree, {"do": "send", "paths": paths, "deep": False}, place.user) as piped:
        head = _first_line(remote, piped)
        got = _receive(
            remote,
            piped,
            os.fspath(local),
            head["total"],
            progress,
            several=False,
            contents=True,
            before=before,
            after=after,
        )
    return Transferred(got.files, got.bytes, got.deleted)


def _name(path: Path) -> str:
    """Return what a local source is called where it arrives; `.` and `..` are called as their folders are."""
    return path.name if path.name not in ("", "..") else path.resolve().name or "files"


def _remote_name(place: UserPath) -> str:
    """Return what a source on the master is called where it arrives; a home is called as its user."""
    name = os.path.basename(place.path.rstrip("/")) or "files"  # noqa: PTH119 - not of here
    return place.user if name == "." else name


def _refuse_same_names(named: Sequence[tuple[str, str]]) -> None:
    """Raise UsageError for two sources that would have one name in the folder that they go to."""
    first: dict[str, str] = {}
    for source, name in named:
        if name in first:
            raise UsageError(
                f"{first[name]} and {source} would both be called {name}",
                "Nothing was transferred. Copy them one after the other, each into a folder of its own.",
            )
        first[name] = source


def _collect(paths: Sequence[tuple[str, str]], *, deep: bool = True) -> tuple[list[Item], list[str]]:
    try:
        return tree.collect(paths, deep=deep)
    except tree.Refused as error:
        raise UsageError(f"cannot be read: {error}", "Name files that are there and that you may read.") from None


def _first_line(remote: Remote, piped: Piped) -> dict[str, Any]:
    """Read what the other side says before it begins."""
    line = piped.output.readline()
    if not line:
        raise _failure(remote, piped)
    said: dict[str, Any] = json.loads(line)
    if "refused" in said:
        raise UsageError(f"{remote.name}: {said['refused']}", "Name what is there, and what its user may use.")
    return said


def _failure(remote: Remote, piped: Piped) -> ProvisionError:
    result = piped.finish()
    if result.code == UNREACHABLE:
        hint = "`provision status` shows its state; `provision ssh` tries the connection."
        return ProvisionError(f"{remote.name} cannot be reached by SSH", hint, result.stderr)
    return ProvisionError(f"{remote.name}: the transfer broke off", "Run the same command again.", result.stderr)


def _send(
    remote: Remote, user: str, items: Sequence[Item], order: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    """Send items to a user's folder on the master; return what arrived."""
    meter = Meter(progress, f"to {remote.name}", tree.total(items))
    with remote.start(tree, {"do": "receive", **order}, user) as piped:
        _first_line(remote, piped)
        try:
            tree.send(items, piped.feed, meter.advance)
            piped.feed.close()
        except BrokenPipeError:
            pass  # the other side has ended: it says why
        except OSError as error:
            piped.stop()
            raise ProvisionError(
                f"{error.filename or 'a file'} changed or could not be read: {tree.reason(error)}",
                "Run the same command again.",
            ) from None
        line = piped.output.readline()
        if not line:
            raise _failure(remote, piped)
    arrived: dict[str, Any] = json.loads(line)
    _check(remote.name, arrived["failed"], full=arrived["full"])
    return arrived


def _receive(
    remote: Remote,
    piped: Piped,
    target: str,
    total: int,
    progress: Progress,
    *,
    several: bool,
    contents: bool,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
) -> tree.Arrived:
    """Write what the master sends; return what arrived."""
    meter = Meter(progress, f"from {remote.name}", total)
    try:
        folder, name = tree.destination(target, several=several, contents=contents)
    except tree.Refused as error:
        raise UsageError(f"{error}", "Name a folder that you may write to.") from None
    with closing(tree.Receiver(folder, name)) as receiver:
        receiver.delete(before)
        try:
            receiver.read(piped.output, meter.advance)
        except tarfile.TarError:
            raise _failure(remote, piped) from None
        if not receiver.arrived.full:
            result = piped.finish()
            if not result.ok:
                raise ProvisionError(
                    f"{remote.name}: the transfer broke off", "Run the same command again.", result.stderr
                )
        if not receiver.arrived.failed:
            receiver.delete(after)
    _check("this machine", receiver.arrived.failed, full=receiver.arrived.full)
    return receiver.arrived


def _check(where: str, failed: Sequence[str], *, full: bool) -> None:
    if full:
        raise ProvisionError(f"the disk of {where} is full", "Remove something there, and run this again.", failed[-1])
    if failed:
        raise ProvisionError(
            f"{len(failed)} of the files could not be written on {where}",
            "What is not listed has arrived. Make room or change the rights, and run it again.",
            "\n".join(failed),
        )
