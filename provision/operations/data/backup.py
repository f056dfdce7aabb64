"""Back up a cluster's data into a restic repository, and restore it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provision.adapters import restic
from provision.adapters.restic import Repository
from provision.base import paths
from provision.base.errors import UsageError
from provision.model.data.snapshots import TAG, choose, read_snapshots, tags
from provision.model.masking import without_logins
from provision.operations.data.streams import Archives, Meter, copy, send_archive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from provision.base.progress import Progress
    from provision.model.data.snapshots import Snapshot


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made."""

    snapshot: str
    bytes: int
    """The archive's size."""
    added: int
    """What the repository grew by, in bytes."""
    users: tuple[str, ...]


def password_path(cluster: str) -> Path:
    """Return the file of the password that is made for a cluster's backups. `down` leaves it."""
    return paths.state_dir() / "backups" / f"{cluster}.password"


def check_here(password_file: Path | None) -> None:
    """Raise UsageError, before anybody is asked, where this machine lacks restic or the password's file."""
    restic.require()
    if password_file is not None and not password_file.is_file():
        raise UsageError(f"--password-file: there is no file {password_file}", "Name the file of the password.")


def open_repository(
    location: str, cluster: str, password_file: Path | None, progress: Progress, *, create: bool = False
) -> Repository:
    """Return a repository whose password is known. `create`: make it if there is none, and a password if need be.

    Raises UsageError when restic, the password or the repository is missing.
    """
    check_here(password_file)
    if password_file is not None:
        file: Path | None = password_file
    elif restic.password_in_environment():
        file = None
    else:
        file = password_path(cluster)
    if file is not None and not file.exists():
        return _open_without_password(location, file, progress, create=create)
    repository = Repository(location, file)
    if repository.exists():
        return repository
    if not create:
        raise UsageError(f"there is no repository at {location}", "`provision backup` makes one.")
    repository.create()
    progress.note(f"Made repository {without_logins(location)}.")
    return repository


def _open_without_password(location: str, file: Path, progress: Progress, *, create: bool) -> Repository:
    """Make a new repository with a password of its own; one that exists cannot be opened."""
    unknown = UsageError(
        f"the password of repository {location} is not known on this machine",
        f"Set RESTIC_PASSWORD or RESTIC_PASSWORD_FILE, give --password-file, or copy {file} from where it was made.",
    )
    if not create:
        raise unknown
    candidate = file.with_suffix(".new")
    restic.ensure_password(candidate)
    try:
        try:
            exists = Repository(location, candidate).exists()
        except UsageError:
            raise unknown from None
        if exists:
            raise unknown
        # Kept before the repository is made: one without its password would be of no use.
        candidate.replace(file)
    finally:
        candidate.unlink(missing_ok=True)
    repository = Repository(location, file)
    repository.create()
    progress.note(
        f"Made repository {without_logins(location)}. Its password is in {file}: without it the backups are lost."
    )
    progress.note("Keep a copy of that file on another machine.")
    return repository


def backup(
    archives: Archives, cluster: str, repository: Repository, progress: Progress, users: Sequence[str] = ()
) -> Backup:
    """Back up everything, or the homes of `users`. There is a snapshot of the whole archive or none.

    Raises UsageError for a user who is not on the cluster, ProvisionError when anything breaks off.
    """
    manifest = archives.size(users or None)
    if manifest["missing"]:
        names = ", ".join(manifest["missing"])
        raise UsageError(f"the cluster has no user {names}", "See `hub.users` in cluster.yaml.")
    meter = Meter(progress, "backup", manifest["bytes"])
    with (
        archives.start_archive(cluster, users or None) as source,
        repository.start_backup(f"{cluster}.tar", tags(cluster, users), cluster) as sink,
    ):
        try:
            copy(source.output, sink.feed, meter.advance)
        except BrokenPipeError:
            source.stop()
            raise repository.failure(sink.finish(), "could not be written to") from None
        result = source.finish()
        if not result.ok:
            # restic must not take the end of half an archive for the end of the archive.
            sink.stop()
            raise archives.failure(result)
        snapshot, added = repository.finish_backup(sink)
    return Backup(snapshot, meter.bytes, added, tuple(manifest["users"]))


def list_backups(repository: Repository) -> list[Snapshot]:
    """Return the backups of all clusters in a repository, the oldest first."""
    return read_snapshots(repository.snapshots(TAG))


def restore(
    archives: Archives,
    cluster: str,
    repository: Repository,
    progress: Progress,
    *,
    snapshot: str = "",
    users: Sequence[str] = (),
    replace: bool = False,
    confirm: Callable[[Snapshot], None] = lambda _: None,
) -> dict[str, Any]:
    """Restore everything, or the homes and passwords of `users`; return the report (users, skipped, files, kept,
    left_out).

    `confirm` gets the snapshot before anything is changed, and raises to stop it. Files that are newer on the cluster
    stay unless `replace`; nothing is removed. Raises UsageError when there is no such backup.
    """
    chosen = choose(list_backups(repository), cluster, snapshot, users)
    confirm(chosen)
    expected = archives.size(users or None)
    if expected["missing"]:
        raise UsageError(
            f"the cluster has no user {', '.join(expected['missing'])}",
            "Add the name to hub.users in cluster.yaml and run `provision up`, then restore.",
        )
    meter = Meter(progress, f"snapshot {chosen.id}", 0)
    with repository.start_dump(chosen.id, chosen.path) as source:
        manifest = send_archive(archives, source.output, lambda: repository.finish_dump(source), meter.advance)
    absent = sorted(set(users) - set(manifest["users"]))
    if absent:
        archives.clear()
        raise UsageError(f"backup {chosen.id} has no home of {', '.join(absent)}", "See `provision backup --list`.")
    # A backup of some users restores those.
    wanted = list(users) or (None if manifest["whole"] else list(manifest["users"]))
    progress.update(f"snapshot {chosen.id}", "is put in its places")
    return archives.place(wanted, replace=replace)
