"""The commands for people's data: `put`, `get`, `sync`, `backup` and `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provision.base.errors import UsageError
from provision.cli.asking import ask, require_consent
from provision.cli.completion import names
from provision.cli.completion.names import complete
from provision.cli.spec import file_option, live_cluster, live_hub, load_spec
from provision.cli.terminal import STDERR, TerminalProgress, print_json

if TYPE_CHECKING:
    from provision.base.model import ClusterSpec
    from provision.model.data.places import UserPath
    from provision.model.data.snapshots import Snapshot
    from provision.model.data.sync import Differences
    from provision.operations.data.transfer import Transferred

_as_option = click.option(
    "--as",
    "user",
    metavar="USER",
    default="",
    shell_complete=complete(names.users),
    help="The notebook user whose rights hold.  [default: whose home it is, or the only user]",
)


def _users(spec: ClusterSpec) -> list[str]:
    return list(spec.hub.known_users)


def _place(spec: ClusterSpec, text: str, user: str) -> UserPath:
    from provision.model.data.places import place

    return place(text, _users(spec), user)


def _show(done: Transferred) -> None:
    from provision.operations.data.streams import size

    for path in done.skipped:
        words = f"Left out, since it is no file, folder or link: {click.format_filename(path)}"
        STDERR.print(words, markup=False, soft_wrap=True)
    deleted = f", {done.deleted} deleted" if done.deleted else ""
    click.echo(f"{done.files} file{'s' if done.files != 1 else ''}, {size(done.bytes)}{deleted}.")


@click.command()
@file_option
@_as_option
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="LOCAL…")
@click.argument("target", metavar="[USER:]REMOTE")
def put(*, file: Path | None, user: str, sources: tuple[Path, ...], target: str) -> None:
    """Copy files and folders to the cluster.

    REMOTE is a path on the Hub's node: `/shared/` for what everybody may read, `alice:` for the home of alice,
    `alice:data/x.csv` below it. What arrives belongs to that user, and is written with that user's rights. Folders are
    copied with what is in them, into REMOTE if that is a folder.
    """
    from provision.operations.data.transfer import check_sources
    from provision.operations.data.transfer import put as copy_to

    spec = load_spec(file, files=False)
    place = _place(spec, target, user)
    check_sources(sources)
    _show(copy_to(live_hub(spec, file), sources, place, TerminalProgress()))


@click.command()
@file_option
@_as_option
@click.argument("sources", nargs=-1, required=True, metavar="[USER:]REMOTE…")
@click.argument("target", type=click.Path(path_type=Path), metavar="LOCAL")
def get(*, file: Path | None, user: str, sources: tuple[str, ...], target: Path) -> None:
    """Copy files and folders from the cluster.

    REMOTE is what it is for `put`; it is read with the rights of its user. LOCAL is a folder, or the new name of a
    single file or folder.
    """
    from provision.operations.data.transfer import get as copy_from

    spec = load_spec(file, files=False)
    places = [_place(spec, source, user) for source in sources]
    _show(copy_from(live_hub(spec, file), places, target, TerminalProgress()))


@click.command()
@file_option
@_as_option
@click.option("--delete", is_flag=True, help="Delete what only the target has.")
@click.option("--checksum", is_flag=True, help="Compare contents, not sizes and times.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before something is deleted.")
@click.argument("source")
@click.argument("target")
def sync(
    *,
    file: Path | None,
    user: str,
    delete: bool,
    checksum: bool,
    dry_run: bool,
    yes: bool,
    source: str,
    target: str,
) -> None:
    """Make a folder on one side equal to one on the other, by transferring what differs.

    One of SOURCE and TARGET is on the cluster: it has a colon, as `alice:project` or `:/shared/data`. Contents are
    compared with contents, whether or not the paths end with a slash. Without --delete nothing is removed.
    """
    from provision.model.data.places import is_remote
    from provision.operations.data.transfer import check_folder, compare
    from provision.operations.data.transfer import sync as transfer

    if is_remote(source) == is_remote(target):
        raise UsageError(
            f"which of {source} and {target} is on the cluster?",
            "Write that one with a colon: `alice:project` or `:/shared/data`. "
            "A local name with a colon begins with `./`.",
        )
    spec = load_spec(file, files=False)
    upload = is_remote(target)
    place, local = _place(spec, target if upload else source, user), Path(source if upload else target)
    check_folder(local, upload=upload)
    remote, progress = live_hub(spec, file), TerminalProgress()
    found = compare(remote, local, place, upload=upload, checksum=checksum)
    if dry_run:
        _show_differences(found, delete=delete)
        return
    removed = [*found.conflicts, *found.delete] if delete else []
    if removed and not yes:
        message = f"this deletes {len(removed)} of the files and folders in {target}"
        require_consent(message, yes=yes, hint="Look with --dry-run, and confirm with --yes.")
        _show_differences(found, delete=True)
        ask(f"{message[0].upper()}{message[1:]}. Do it?")
    _show(transfer(remote, local, place, found, progress, upload=upload, delete=delete))


def _show_differences(found: Differences, *, delete: bool) -> None:
    # A name may be any bytes, which a terminal does not take.
    for name in map(click.format_filename, found.transfer):
        click.echo(f"+ {name}")
    for name in map(click.format_filename, [*found.conflicts, *found.delete] if delete else found.conflicts):
        click.echo(f"- {name}" if delete else f"! {name}: a folder on one side, a file or a link on the other")
    if not (found.transfer or found.conflicts or (found.delete and delete)):
        click.echo("Nothing to do.")


_password_option = click.option(
    "--password-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The repository's password.  [default: RESTIC_PASSWORD or RESTIC_PASSWORD_FILE, else one made once and kept]",
)


@click.command()
@file_option
@click.option(
    "--user",
    "users",
    multiple=True,
    metavar="USER",
    shell_complete=complete(names.users),
    help="Only the home of this user. Can be repeated.",
)
@_password_option
@click.option("--list", "listed", is_flag=True, help="List the backups in REPOSITORY instead of making one.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.argument("repository")
def backup(
    *,
    file: Path | None,
    users: tuple[str, ...],
    password_file: Path | None,
    listed: bool,
    as_json: bool,
    repository: str,
) -> None:
    """Back up people's data with restic: homes, /shared, passwords and the Hub's state.

    REPOSITORY is a folder, or any place that restic knows (`sftp:…`, `s3:…`, `rest:…`), with its credentials in the
    environment. It is made if it is not there. The backup is encrypted, and what was in an earlier one takes no room
    again. The cluster goes on meanwhile.
    """
    from provision.operations.data import backup as operation
    from provision.operations.data.streams import archives_of, size

    spec = load_spec(file, files=False)
    progress = TerminalProgress()
    if listed:
        opened = operation.open_repository(repository, spec.name, password_file, progress)
        _show_backups(operation.list_backups(opened), as_json=as_json)
        return
    operation.check_here(password_file)
    cluster = live_cluster(spec, file)
    with cluster.cluster_dir.locked(), progress.phase(f"Back up cluster {spec.name}"):
        opened = operation.open_repository(repository, spec.name, password_file, progress, create=True)
        made = operation.backup(archives_of(cluster), spec.name, opened, progress, users)
    if as_json:
        print_json({"snapshot": made.snapshot, "bytes": made.bytes, "added": made.added, "users": made.users})
        return
    click.echo(f"Backup {made.snapshot}: {size(made.bytes)} of {', '.join(made.users) or 'nobody'}.")
    click.echo(f"The repository grew by {size(made.added)}.")


def _show_backups(backups: list[Snapshot], *, as_json: bool) -> None:
    if as_json:
        print_json([{"id": one.id, "time": one.time, "cluster": one.cluster, "users": one.users} for one in backups])
        return
    if not backups:
        click.echo("There is no backup of a cluster.")
    for one in backups:
        content = f"homes of {', '.join(one.users)}" if one.users else "everything"
        click.echo(f"{one.id}  {one.date}  {one.cluster}  {content}")


@click.command()
@file_option
@click.option("--snapshot", metavar="ID", default="", help="Which backup.  [default: the cluster's newest]")
@click.option(
    "--user",
    "users",
    multiple=True,
    metavar="USER",
    shell_complete=complete(names.users),
    help="Only this user's home. Can be repeated.",
)
@_password_option
@click.option("--replace", is_flag=True, help="Also replace files that are newer on the cluster.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.argument("repository")
def restore(
    *,
    file: Path | None,
    snapshot: str,
    users: tuple[str, ...],
    password_file: Path | None,
    replace: bool,
    yes: bool,
    as_json: bool,
    repository: str,
) -> None:
    """Restore people's data from a backup that `backup` has made.

    Files that are newer on the cluster stay as they are, and nothing is removed. Passwords become those of the backup.
    Users who are not in hub.users are left out and named. Every notebook and job ends, and the Hub is stopped, while
    files are put in their places; before that nothing is changed.
    """
    from provision.operations.data import backup as operation
    from provision.operations.data.streams import archives_of

    spec = load_spec(file, files=False)
    progress = TerminalProgress()

    def confirm(chosen: Snapshot) -> None:
        what = f"backup {chosen.id} of cluster {chosen.cluster}, {chosen.date}"
        require_consent(f"this restores {what}, and ends every notebook and job on cluster {spec.name}", yes=yes)
        if not yes:
            ask(f"Restore {what}? Every notebook and job on cluster {spec.name} ends.")

    opened = operation.open_repository(repository, spec.name, password_file, progress)
    cluster = live_cluster(spec, file)
    with cluster.cluster_dir.locked():
        report = operation.restore(
            archives_of(cluster),
            spec.name,
            opened,
            progress,
            snapshot=snapshot,
            users=users,
            replace=replace,
            confirm=confirm,
        )
    if as_json:
        print_json(report)
    else:
        _show_report(report)


def _show_report(report: dict[str, Any]) -> None:
    kept = report["kept"]
    click.echo(f"Restored {report['files']} files; users: {', '.join(report['users']) or 'none'}.")
    if report["skipped"]:
        click.echo(
            f"Left out: {', '.join(report['skipped'])}. Add them to hub.users, run `provision up`, and restore again."
        )
    for path in map(click.format_filename, report["left_out"]):
        click.echo(f"Left out, since it is a device: {path}")
    if kept:
        click.echo(f"{len(kept)} files stay as they are, since they are newer (--replace replaces them):")
        for path in map(click.format_filename, kept[:10]):
            click.echo(f"  {path}")
        if len(kept) > 10:
            click.echo(f"  … and {len(kept) - 10} more (--json lists all)")
