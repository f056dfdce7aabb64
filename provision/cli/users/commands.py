"""`provision users list`, `add`, `remove`, `apply` and `passwd`: the notebook users of a live cluster."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from provision.base.errors import UsageError
from provision.base.model import User
from provision.cli.asking import ask, require_consent
from provision.cli.completion.names import complete
from provision.cli.completion.names import users as user_names
from provision.cli.spec import file_option, load_spec, source_of
from provision.cli.terminal import STDERR, TerminalProgress, print_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from provision.base.model import ClusterSpec
    from provision.operations.cluster.nodes import LiveCluster
    from provision.operations.users.accounts import Account, Listing
    from provision.operations.users.change import Change


@click.group()
def users() -> None:
    """Show, add and remove notebook users, and set their passwords."""


def _cluster(spec: ClusterSpec, file: Path | None) -> LiveCluster:
    # Not at the top: it imports Jinja, YAML and cryptography, 0.15 s that `--help` need not wait for.
    from provision.operations.cluster.nodes import find_live_cluster

    return find_live_cluster(spec, source_of(file))


def _list_accounts(cluster: LiveCluster, spec: ClusterSpec) -> Listing:
    from provision.adapters.remote import over_ssh
    from provision.operations.users.accounts import list_accounts

    return list_accounts(over_ssh(cluster.ssh_config, cluster.hub.name), spec.hub.users)


@users.command("list")
@file_option
@click.option("--json", "as_json", is_flag=True, help="Print the users as JSON.")
def list_users(*, file: Path | None, as_json: bool) -> None:
    """List the users: their accounts on the master, their groups, and what they do now."""
    spec = load_spec(file, files=False)
    listing = _list_accounts(_cluster(spec, file), spec)
    if as_json:
        print_json({"users": [asdict(each) for each in listing.accounts], "hub_problem": listing.problem})
        return
    rows = [("USER", "ADMIN", "GROUPS", "ACCOUNT", "SERVER", "LAST ACTIVITY")]
    for each in listing.accounts:
        rows.append(
            (
                each.name,
                "yes" if each.admin else "",
                ",".join(each.groups),
                _account(each),
                "?" if listing.problem else each.server,
                _time(each.last_activity),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())
    if listing.problem:
        STDERR.print(f"The Hub does not say what its servers do: {listing.problem}.", markup=False, soft_wrap=True)


def _account(account: Account) -> str:
    if not account.on_master:
        return "missing: run `provision users apply`"
    if account.password == "login":  # noqa: S105 - a state
        return "made by a login"
    if not account.in_spec:
        return "not in the spec: `provision users apply` removes it"
    return {"ok": "yes", "locked": "locked", "must_change": "must change password"}[account.password]


def _time(text: str | None) -> str:
    if text is None:
        return ""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M")


@users.command()
@file_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask, if users whom the file does not name are removed too.")
@click.option("--admin", is_flag=True, help="They administer the Hub.")
@click.option("--group", "groups", metavar="GROUP", multiple=True, help="A Unix group. May be given again.")
@click.option("--must-change-password", is_flag=True, help="Their first passwords are good for one login only.")
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
def add(
    *,
    file: Path | None,
    yes: bool,
    admin: bool,
    groups: tuple[str, ...],
    must_change_password: bool,
    names: tuple[str, ...],
) -> None:
    """Add users to the spec and to the cluster.

    Writes them into the spec's file, whose other lines stay as they are, and makes their accounts. A user who is there
    already gets what the options say beside what they have. First passwords are in the file that is printed.
    """
    from provision.clusterfile import editing

    spec = load_spec(file)
    there = {user.name: user for user in spec.hub.users}
    asked = User("", admin, groups, must_change_password)
    new = [_merged(there.get(name, User(name)), asked) for name in dict.fromkeys(names)]
    path, text = _own_file(file)
    wanted = editing.with_users(text, str(path), new, list(there))
    _edit(spec, path, wanted, yes=yes)


def _merged(user: User, asked: User) -> User:
    return User(
        user.name,
        user.admin or asked.admin,
        tuple(sorted({*user.groups, *asked.groups})),
        user.must_change_password or asked.must_change_password,
    )


@users.command()
@file_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--delete-home", is_flag=True, help="Do not keep their homes in /var/backups/notebooks.")
@click.argument("names", nargs=-1, required=True, metavar="NAME…", shell_complete=complete(user_names))
def remove(*, file: Path | None, yes: bool, delete_home: bool, names: tuple[str, ...]) -> None:
    """Remove users from the spec and from the cluster.

    Ends what they run, revokes their tokens and removes their accounts. Their homes are kept on the master, as
    /var/backups/notebooks/NAME-TIME.tar.gz, and their files in /shared stay. A user of that name who comes later gets a
    new password, and owns these files again.
    """
    from provision.clusterfile import editing

    spec = load_spec(file, files=False)
    there = [user.name for user in spec.hub.users]
    unknown = [name for name in names if name not in there]
    if unknown and spec.hub.login:
        raise UsageError(
            f"hub.users does not name {', '.join(unknown)}: logins make the others' accounts",
            "Take them off the lists of hub.login, or name them in `denied_users`, and run `provision up`.",
        )
    if unknown:
        raise UsageError(
            f"hub.users does not name {', '.join(unknown)}",
            f"It names: {', '.join(there)}. `provision users apply` removes whom only the cluster has.",
        )
    path, text = _own_file(file)
    wanted = editing.without_users(text, str(path), names, there)
    _edit(load_spec(file), path, wanted, yes=yes, forgotten=tuple(dict.fromkeys(names)) if delete_home else ())


@users.command()
@file_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
def apply(*, file: Path | None, yes: bool) -> None:
    """Bring the spec's users to the cluster, and nothing else: after the file was changed by hand.

    Asks, or needs --yes, before it removes a user whom the spec does not name.
    """
    spec = load_spec(file)
    _bring(spec, file, spec, yes=yes)


def _own_file(file: Path | None) -> tuple[Path, str]:
    """Return the spec's file and its text. Raises UsageError where there is none."""
    from provision.clusterfile.loading import FILE

    path = file or FILE
    if not path.exists():
        raise UsageError(
            f"there is no {path} to write the users into: this is the default cluster",
            "Write one with `provision init`, then run this again. Nothing was changed.",
        )
    return path, path.read_bytes().decode("utf-8-sig")


def _edit(before: ClusterSpec, path: Path, text: str, *, yes: bool, forgotten: tuple[str, ...] = ()) -> None:
    """Bring what a new text of the spec's file says, and write the file once everything else is known to be right."""
    from provision.adapters.host.files import replace as replace_file
    from provision.clusterfile.loading import check

    spec = check(text, path)
    # What a link leads to is replaced, with the mode that it has.
    target = path.resolve()

    def write() -> None:
        replace_file(target, text, target.stat().st_mode & 0o777)

    _bring(spec, path, before, yes=yes, write=write, forgotten=forgotten)


def _bring(
    spec: ClusterSpec,
    file: Path | None,
    before: ClusterSpec,
    *,
    yes: bool,
    write: Callable[[], None] = lambda: None,
    forgotten: tuple[str, ...] = (),
) -> None:
    from provision.adapters.openstack.cloud import connect
    from provision.operations.users.change import UserChange

    progress = TerminalProgress()
    source = source_of(file)
    operation = UserChange(connect(spec.cloud, source), spec, source, progress, before)

    def confirm(change: Change) -> None:
        for line in _lines(change, forgotten):
            STDERR.print(line, markup=False, soft_wrap=True)
        if change.go and not yes:
            require_consent(f"this removes {', '.join(change.go)}, and there is no terminal to ask on", yes=yes)
            ask("Do this?")

    change = operation.run(confirm, write, forgotten)
    if change.pending:
        hint = "`provision plan` shows them, `provision up` brings them to the nodes."
        STDERR.print(f"Other settings of the spec differ from those of the nodes. {hint}", markup=False, soft_wrap=True)
    click.echo(f"Users:      {', '.join(user.name for user in spec.hub.users)}")
    if change.come and spec.hub.login is None and operation.cluster_dir.passwords.exists():
        click.echo(f"Passwords:  {operation.cluster_dir.passwords} (of {', '.join(change.come)})")


def _lines(change: Change, forgotten: tuple[str, ...]) -> list[str]:
    lines = [f"+ user {name}" for name in change.come]
    for name in change.go:
        home = "is deleted" if name in forgotten else "goes to /var/backups/notebooks on the master"
        lines.append(f"- user {name}: notebooks and programs end, the home {home}")
    if not lines:
        lines.append("~ what users may do" if change.differ else "The users are those of the spec.")
    if change.whole:
        lines.append("~ settings that follow from the number of users: the Hub restarts, notebooks go on")
    return lines


@users.command()
@file_option
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the password from the first line of stdin.")
@click.option("--generate", is_flag=True, help="Make a password and print it, once.")
@click.option("--must-change", is_flag=True, help="It is good for one login only, at which the user sets another.")
@click.argument("name", shell_complete=complete(user_names))
def passwd(*, file: Path | None, from_stdin: bool, generate: bool, must_change: bool, name: str) -> None:
    """Set a user's password.

    Asks for it twice, on the terminal and without echo, unless --stdin or --generate is given. It also unlocks an
    account that is locked. The user's notebooks go on.
    """
    from provision.adapters.cluster_dir import make_password
    from provision.adapters.remote import over_ssh
    from provision.operations.users.accounts import refuse_weak, set_password

    if from_stdin and generate:
        raise UsageError("--stdin and --generate exclude each other", "Give one of the two.")
    spec = load_spec(file, files=False)
    if spec.hub.login:
        raise UsageError(
            "the cluster's passwords are those of its login server (hub.login)",
            "Change it there. Nothing was changed.",
        )
    if name not in spec.hub.known_users:
        raise UsageError(
            f"the cluster has no user {name!r}",
            f"It has: {', '.join(spec.hub.known_users)}. `provision users add` adds one. Nothing was changed.",
        )
    password = make_password() if generate else _read_password(name, from_stdin=from_stdin)
    refuse_weak(name, password)
    cluster = _cluster(spec, file)
    master = over_ssh(cluster.ssh_config, cluster.hub.name)
    set_password(master, cluster.cluster_dir, name, password, must_change=must_change)
    if generate:
        click.echo(password)
    STDERR.print(f"{name} has a new password.", markup=False)


def _read_password(name: str, *, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise UsageError(
            "there is no terminal to ask for the password on", "Pipe it in with --stdin, or use --generate."
        )
    try:
        answer: str = click.prompt(f"New password of {name}", hide_input=True, confirmation_prompt=True, err=True)
    except click.Abort:
        click.echo("Nothing was changed.", err=True)
        raise click.exceptions.Exit(1) from None
    return answer
