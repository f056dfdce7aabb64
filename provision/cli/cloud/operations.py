"""`provision cloud`: read the logs of the `local` cloud, diagnose it, back it up and restore it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from provision.cli.asking import ask, require_consent
from provision.cli.view.lines import painter, print_lines
from provision.operations.localcloud.local_cloud import local_cloud

if TYPE_CHECKING:
    from provision.model.logs import Line

_LINES: Final = 50


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on, and print new lines as they come.")
@click.option(
    "--since", metavar="10m|TIME", help="Only lines from this time on: 90s, 10m, 2h, 1d (ago), or an ISO 8601 time."
)
@click.option("--grep", "pattern", metavar="PATTERN", help="Only lines that match this regular expression.")
@click.option("--request-id", metavar="REQ", help="Follow one request (req-…) through the services.")
@click.option(
    "-n",
    "--tail",
    type=click.IntRange(min=0),
    help=f"Only the last lines of each replica.  [default: {_LINES}; all with --since, --grep or --request-id]",
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
    """Show the logs of all services as one, in the order of time.

    SERVICES limits it to some services. A single replica has the name that its lines begin with: nova-api-2, or on
    several hosts nova-api-2@host-3.
    """
    from datetime import datetime

    from provision.model.localcloud.logs import read_filter
    from provision.model.logs import read_since
    from provision.operations.localcloud.logs import Query, find_sources, read_logs

    wish = read_filter(pattern, request_id)
    moment = read_since(since, datetime.now().astimezone()) if since else None
    if tail is None and not wish and moment is None:
        tail = _LINES
    reader, query = local_cloud().logs(partial(click.echo, err=True)), Query(services, wish, moment, tail, follow)
    sources = find_sources(reader, services)
    width = max(len(source.name) for source in sources)
    paint = painter()

    def formatted(line: Line) -> str:
        time = f"{line.time} " if timestamps else ""
        return f"{time}{paint(line.service, line.source.ljust(width))} | {line.text}"

    found = print_lines(formatted(line) for line in read_logs(reader, query, sources))
    if wish and not found:
        # Say so: no output at all could as well mean that nothing was read.
        searched = " and ".join(filter(None, (request_id, pattern and f"--grep {pattern!r}")))
        click.echo(f"No log line matches {searched}{f' since {since}' if since else ''}.", err=True)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(*, as_json: bool) -> None:
    """Say what is wrong, and what to do about it.

    The exit code is 1 if something is wrong. On several hosts it looks at all of them, and at the disks, certificates
    and members of the current one.
    """
    from dataclasses import asdict

    from provision.cli.terminal import print_json
    from provision.model.finding import text

    findings = local_cloud().diagnose()
    if as_json:
        print_json({"healthy": not findings, "findings": [asdict(finding) for finding in findings]})
    else:
        click.echo(text(findings))
    if findings:
        raise click.exceptions.Exit(1)


@click.command()
@click.option(
    "--images", is_flag=True, help="Include Glance's image files: without them, images must be uploaded again."
)
@click.argument("file", type=click.Path(path_type=Path))
def backup(*, file: Path, images: bool) -> None:
    """Write the cloud's data into FILE.

    It holds the databases, Keystone's keys and all passwords: keep it secret. The disks of VMs are not in it. The cloud
    goes on meanwhile.
    """
    from provision.cli.terminal import TerminalProgress

    progress = TerminalProgress()
    local_cloud().backup(progress, file, images=images)
    progress.note(f"{file}: {file.stat().st_size / (1 << 20):.1f} MiB. `provision cloud restore` restores it.")


@click.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.argument("file", type=click.Path(path_type=Path))
def restore(*, file: Path, yes: bool) -> None:
    """Restore the data that `backup` has written into FILE.

    It replaces all data of the cloud. Afterwards start the cloud with `provision cloud up`, on several hosts on each.
    """
    from provision.cli.terminal import TerminalProgress

    def confirm() -> None:
        if yes:
            return
        require_consent(
            "there is a local cloud here already, and restoring replaces all its data",
            yes=yes,
            hint="Confirm with --yes; `provision cloud backup` saves the present data first.",
        )
        ask("Replace all data of the local cloud that is here?")

    local_cloud().restore(TerminalProgress(), file, confirm)
