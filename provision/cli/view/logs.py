"""`provision logs`: the nodes' journals as one log, or the output of a submitted program."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Final

import click

from provision.base.errors import UsageError
from provision.cli.completion import names
from provision.cli.completion.names import complete
from provision.cli.jobs import end_as
from provision.cli.spec import file_option, hub_of, live_cluster, load_spec
from provision.cli.terminal import STDERR
from provision.cli.view.lines import painter, print_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from provision.model.cluster.journal import JournalChoice
    from provision.model.logs import Line
    from provision.operations.cluster.nodes import LiveCluster
    from provision.operations.logs.nodes import JournalQuery

_LINES: Final = 50


@click.command()
@file_option
@click.option("--follow", is_flag=True, help="Go on as new lines come; with a job, until its end.")
@click.option(
    "--since",
    metavar="10min|TIME",
    help="Only lines from this time on: 90s, 10min, 2h (ago), today, or an ISO 8601 time.",
)
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    help=f"Only the last lines of each node.  [default: {_LINES}; all with --since]",
)
@click.option("--json", "as_json", is_flag=True, help="Print each line as JSON.")
@click.argument("what", nargs=-1, shell_complete=complete(names.what))
@click.pass_context
def logs(
    context: click.Context,
    *,
    file: Path | None,
    follow: bool,
    since: str | None,
    lines: int | None,
    as_json: bool,
    what: tuple[str, ...],
) -> None:
    """Show the logs of all nodes as one, or the output of a submitted program.

    WHAT is a job, a node (worker-1) or a unit (spark-worker, notebook-alice, 'cloud-*'); nodes and units may be
    combined. Default: all units of the cluster on all nodes. Secrets of the cluster are left out. A job is printed
    whole, and with --follow the exit code is the job's.
    """
    from provision.model.logs import read_since
    from provision.operations.logs.nodes import JournalQuery

    if file is not None and not file.exists():
        raise UsageError(
            f"{file}: there is no such file",
            "-f names the spec's file, as with all commands of a cluster; to follow the logs, write --follow.",
        )
    moment = read_since(since, datetime.now().astimezone()) if since else None
    cluster = live_cluster(load_spec(file, files=False), file)
    choice = _choose(cluster, what)
    if isinstance(choice, str):
        _show_job(context, cluster, choice, follow=follow, limited=moment is not None or lines is not None or as_json)
        return
    lines = _LINES if lines is None and moment is None else lines
    _show_journals(cluster, choice.nodes, JournalQuery(choice.units, moment, lines, follow), as_json=as_json)


def _choose(cluster: LiveCluster, words: Sequence[str]) -> JournalChoice | str:
    """Return the nodes and units that are meant, or a job's name. Raises UsageError with all that there is.

    The master is asked for its jobs only where a word is neither node nor unit: `job-worker-1` is the job `worker-1`.
    """
    from provision.base.paths import TEMPLATES
    from provision.model.cluster.journal import choose, known_units, listed
    from provision.operations.jobs.submit import list_jobs

    nodes = [node.name for node in cluster.nodes]
    users = [user.name for user in cluster.spec.hub.users]
    if cluster.spec.hub.login:
        # Logins make users, and the spec does not know them.
        users += [word.removeprefix("notebook-") for word in words if word.startswith("notebook-")]
    units = known_units(TEMPLATES, users)
    try:
        return choose(words, cluster.spec.name, nodes, units)
    except KeyError as error:
        unknown = str(error.args[0])
    programs = [job.name for job in list_jobs(hub_of(cluster))]
    for job in (unknown, unknown.removeprefix("job-")):
        if job in programs and len(words) == 1:
            return job
        if job in programs:
            raise UsageError(f"job {job} cannot be shown together with others", f"Say `provision logs {unknown}`.")
    raise UsageError(f"there is no job, node or unit {unknown!r}", listed(nodes, units, programs))


def _show_job(context: click.Context, cluster: LiveCluster, name: str, *, follow: bool, limited: bool) -> None:
    from provision.operations.jobs import submit as operation

    if limited:
        raise UsageError(
            f"{name} is a job, and its output has no times",
            "Leave out --since, --lines and --json: it is printed whole.",
        )
    output = (sys.stdout.buffer, sys.stderr.buffer)
    last = operation.logs(hub_of(cluster), name, output, to_the_end=follow)
    if follow:
        end_as(context, last)


def _show_journals(cluster: LiveCluster, nodes: Sequence[str], query: JournalQuery, *, as_json: bool) -> None:
    from provision.adapters.remote import over_ssh
    from provision.operations.logs.nodes import read_journals

    def tell(text: str) -> None:
        STDERR.print(text, markup=False, soft_wrap=True)

    wanted = [node for node in cluster.nodes if node.name in nodes]
    running = [node.name for node in wanted if node.status in ("", "ACTIVE")]
    for node in wanted:
        if node.name not in running:
            tell(f"{node.name} is {node.status}: its log cannot be read.")
    remotes = [over_ssh(cluster.ssh_config, name) for name in running]
    found = read_journals(remotes, query, cluster.cluster_dir.secret_values(), tell)
    shown = _as_json if as_json else _as_text(cluster.spec.name, running)
    if not print_lines(text for line in found for text in shown(line)):
        tell("No line was found: --since goes further back, and `provision logs` without a name shows all units.")


def _as_text(cluster: str, nodes: Sequence[str]) -> Callable[[Line], list[str]]:
    """Return what writes a line for people: its time here, the node by its short name, and the unit."""
    short = {name: name.removeprefix(f"{cluster}-") for name in nodes}
    width = max(map(len, short.values()), default=0)
    paint = painter()

    def text(line: Line) -> list[str]:
        time = datetime.fromtimestamp(line.moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        head = f"{time} {paint(line.source, f'{short[line.source]:{width}} {line.service}')} | "
        return [head + part for part in line.text.split("\n")]

    return text


def _as_json(line: Line) -> list[str]:
    data = {"time": line.time, "node": line.source, "unit": line.service, "text": line.text}
    return [json.dumps(data, ensure_ascii=False)]
