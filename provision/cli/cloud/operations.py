"""What operators do with the `local` cloud: read its logs, have it looked at, keep its data and put it back."""

from __future__ import annotations

import os
import sys
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from provision.cli.asking import ask, require_consent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from provision.model.localcloud.logs import Line

_COLOURS: Final = ("cyan", "yellow", "green", "magenta", "blue", "red")
_LINES: Final = 50


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on as new lines come.")
@click.option("--since", metavar="10m|TIME", help="Only what came later: 90s, 10m, 2h, 1d, or an ISO 8601 time.")
@click.option("--grep", "pattern", metavar="PATTERN", help="Only lines that this regular expression matches.")
@click.option("--request-id", metavar="REQ", help="Follow one request (req-…) through the services.")
@click.option(
    "-n",
    "--tail",
    type=click.IntRange(min=0),
    help=f"The last lines of each copy.  [default: {_LINES}; all with --since, --grep or --request-id]",
)
@click.option("-t", "--timestamps", is_flag=True, help="Begin each line with its time (UTC).")
@click.argument("services", nargs=-1)
def logs(
    *,
    services: tuple[str, ...],
    follow: bool,
    since: str | None,
    pattern: str | None,
    request_id: str | None,
    tail: int | None,
    timestamps: bool,
) -> None:
    """Show all logs as one, in the order of time.

    It is that of every copy of every service, unless SERVICES are given. A single copy is named as its lines name it:
    nova-api-2 (on several hosts: nova-api-2@host-3).
    """
    from datetime import datetime

    from provision.model.localcloud.logs import read_filter, read_since
    from provision.operations.localcloud.logs import Query, copies_of, door_to_logs, stack_logs

    wish = read_filter(pattern, request_id)
    moment = read_since(since, datetime.now().astimezone()) if since else None
    if tail is None and not wish and moment is None:
        tail = _LINES
    door, query = door_to_logs(partial(click.echo, err=True)), Query(services, wish, moment, tail, follow)
    copies = copies_of(door, services)
    width = max(len(copy.name) for copy in copies)
    paint = painter()

    def written(line: Line) -> str:
        time = f"{line.time} " if timestamps else ""
        return f"{time}{paint(line.service, line.replica.ljust(width))} | {line.text}"

    some = _print(written(line) for line in stack_logs(door, query, copies))
    if wish and not some:
        # Silence could as well mean that nothing was looked at.
        asked = " and ".join(filter(None, (request_id, pattern and f"--grep {pattern!r}")))
        click.echo(f"No log line matches {asked}{f' since {since}' if since else ''}.", err=True)


def _print(lines: Iterable[str]) -> bool:
    """Print lines as they come; a reader that has seen enough, and Ctrl-C, are good ends. Return whether any came."""
    some = False
    try:
        for line in lines:
            some = True
            click.echo(line)
    except BrokenPipeError:
        # Python would try to flush once more when it ends, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None
    return some


def painter() -> Callable[[str, str], str]:
    """Return what gives each service a colour of its own: in a terminal, and where NO_COLOR does not forbid it."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return lambda _, text: text
    colours = cycle([(colour, bold) for bold in (False, True) for colour in _COLOURS])
    given: dict[str, tuple[str, bool]] = {}

    def paint(service: str, text: str) -> str:
        if service not in given:
            given[service] = next(colours)
        colour, bold = given[service]
        return click.style(text, fg=colour, bold=bold)

    return paint


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(*, as_json: bool) -> None:
    """Say what is wrong, and what to do.

    The exit code is 1 when something is. On several hosts it sees all of them, and looks at the disks, certificates
    and members of the one where it is run.
    """
    from dataclasses import asdict

    from provision.cli.terminal import print_json
    from provision.model.localcloud.doctor.finding import text
    from provision.model.localcloud.doctor.rules import diagnose
    from provision.model.localcloud.doctor.swarm_rules import diagnose_swarm
    from provision.operations.localcloud.shared.installation import load_settings
    from provision.operations.localcloud.single.doctor import observe
    from provision.operations.localcloud.swarm.doctor import observe_swarm

    findings = diagnose_swarm(observe_swarm()) if load_settings().swarm else diagnose(observe())
    if as_json:
        print_json({"healthy": not findings, "findings": [asdict(each) for each in findings]})
    else:
        click.echo(text(findings))
    if findings:
        raise click.exceptions.Exit(1)


@click.command()
@click.option(
    "--images", is_flag=True, help="Glance's image files too: without them, images have to be uploaded again."
)
@click.argument("file", type=click.Path(path_type=Path))
def backup(*, file: Path, images: bool) -> None:
    """Keep the cloud's data in FILE.

    Databases, Keystone's keys, passwords: it holds secrets, guard it as you guard them. The cloud goes on meanwhile.
    The disks of VMs are not in it.
    """
    from provision.cli.terminal import TerminalProgress
    from provision.operations.localcloud.shared.installation import load_settings
    from provision.operations.localcloud.single.backup import backup as run
    from provision.operations.localcloud.swarm.backup import backup_swarm

    progress = TerminalProgress()
    (backup_swarm if load_settings().swarm else run)(progress, file, images=images)
    progress.note(f"{file}: {file.stat().st_size / (1 << 20):.1f} MiB. `provision cloud restore` puts it back.")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("file", type=click.Path(path_type=Path))
def restore(*, file: Path, yes: bool) -> None:
    """Put back what `backup` kept in FILE.

    It replaces all data that is there. Then `provision cloud up` starts the cloud with it, on several hosts on each.
    """
    from provision.cli.terminal import TerminalProgress
    from provision.operations.localcloud.shared.installation import load_settings
    from provision.operations.localcloud.single.backup import restore as run
    from provision.operations.localcloud.swarm.restore import restore_swarm

    def sure() -> None:
        if yes:
            return
        require_consent(
            "there is a local cloud here already, and restoring replaces all its data",
            yes=yes,
            hint="Say so with --yes; `provision cloud backup` keeps what is there now.",
        )
        ask("Replace all data of the local cloud that is here?")

    (restore_swarm if load_settings().swarm else run)(TerminalProgress(), file, sure)
