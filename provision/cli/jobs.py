"""The commands for programs that run without a notebook: `submit`, `jobs` and `kill`; their output: view/logs.py."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provision.cli.completion import names
from provision.cli.completion.names import complete, note, noted, users
from provision.cli.spec import file_option, hub_of, live_cluster, live_hub, load_spec
from provision.cli.terminal import STDERR, duration, print_json

if TYPE_CHECKING:
    from provision.operations.jobs.submit import Job


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@file_option
@click.option(
    "--as",
    "user",
    metavar="USER",
    default="",
    shell_complete=complete(users),
    help="The notebook user who runs it.  [default: the only one]",
)
@click.option(
    "--py-files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="A module, zip archive or wheel that driver and executors import. May be given again.",
)
@click.option("--conf", metavar="KEY=VALUE", multiple=True, help="A setting of Spark's. May be given again.")
@click.option("--detach", is_flag=True, help="Print the job's name and do not wait for its end.")
@click.argument("script", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="JOB.py")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]…")
@click.pass_context
def submit(
    context: click.Context,
    *,
    file: Path | None,
    user: str,
    py_files: tuple[Path, ...],
    conf: tuple[str, ...],
    detach: bool,
    script: Path,
    arguments: tuple[str, ...],
) -> None:
    """Run a PySpark program on the cluster.

    Brings JOB.py to the Hub's node and runs it there with spark-submit, in the home of its user and with the limits of
    a notebook. What it prints is shown as it comes, and its exit code is this command's. Ctrl-C ends it, and so does a
    lost connection; with --detach it goes on by itself. ARGS are the program's own.
    """
    from provision.model.data.places import chosen_user
    from provision.operations.jobs import submit as operation

    spec = load_spec(file, files=False)
    runs_as = chosen_user(spec.hub.known_users, user, script.name, "Say it, as in --as {user}.")
    program = operation.Submission(script, runs_as, arguments, py_files, conf)
    operation.check_files(program)  # before anybody is asked
    cluster = live_cluster(spec, file)

    def told(name: str) -> None:
        note("jobs", spec.name, [*(noted("jobs", spec.name) or ()), name])
        if detach:
            click.echo(name)
        else:
            STDERR.print(f"{name} runs as {program.user}.", markup=False)

    job = operation.submit(
        hub_of(cluster),
        program,
        operation.unit_limits(cluster.hub_context),
        told,
        None if detach else (sys.stdout.buffer, sys.stderr.buffer),
    )
    if job:
        end_as(context, job)


@click.command()
@file_option
@click.option("--json", "as_json", is_flag=True, help="Print the jobs as JSON.")
def jobs(*, file: Path | None, as_json: bool) -> None:
    """List the programs that were submitted, and what has become of them."""
    from provision.operations.jobs.submit import list_jobs

    spec = load_spec(file, files=False)
    found = list_jobs(live_hub(spec, file))
    note("jobs", spec.name, [job.name for job in found])
    if as_json:
        print_json([asdict(job) for job in found])
        return
    if not found:
        click.echo("No job yet: `provision submit JOB.py` runs one.")
        return
    rows = [("JOB", "USER", "STATE", "STARTED", "TIME")]
    for job in found:
        began = datetime.fromtimestamp(job.started).astimezone().strftime("%Y-%m-%d %H:%M")
        rows.append((job.name, job.user, _state(job), began, duration(job.seconds)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())


@click.command()
@file_option
@click.argument("job", shell_complete=complete(names.jobs))
def kill(*, file: Path | None, job: str) -> None:
    """End a submitted program; when this returns, it has ended."""
    from provision.operations.jobs import submit as operation

    last = operation.kill(live_hub(load_spec(file, files=False), file), job)
    click.echo(f"{last.name}: {_state(last)}.")


def _state(job: Job) -> str:
    return f"failed ({job.code})" if job.state == "failed" else job.state


def end_as(context: click.Context, job: Job) -> None:
    """Exit as the job did. One that was ended has no code of its own, and says so."""
    if job.state == "ended":
        how = "by `provision kill`, or with its node; or the disk was so full that its exit code could not be written"
        STDERR.print(f"{job.name} was ended: {how}.", markup=False)
    if job.code == _OUT_OF_MEMORY:
        hint = "Give it less, or raise hub.limits.memory."
        STDERR.print(f"{job.name} was killed, most likely since its driver took too much memory. {hint}", markup=False)
    context.exit(1 if job.code is None else job.code)


_OUT_OF_MEMORY = 137
"""128 and SIGKILL's number: what a shell says of a program that the kernel has ended."""
