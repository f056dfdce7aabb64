"""`provision examples list`, `put` and `run`."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from provision.base.errors import UsageError
from provision.cli.completion.names import complete, users
from provision.cli.spec import file_option, live_cluster, live_hub, load_spec
from provision.cli.terminal import STDERR, TerminalProgress, duration, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.base.model import ClusterSpec
    from provision.model.examples.notebooks import Example


@click.group()
def examples() -> None:
    """List the example notebooks, bring them to the cluster, and run them there."""


@examples.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the examples as JSON.")
def list_examples(*, as_json: bool) -> None:
    """List the examples, with their parameters and the packages that they need."""
    from provision.operations.examples.run import examples as known

    if as_json:
        print_json(
            [
                {
                    "name": each.name,
                    "title": each.title,
                    "summary": each.summary,
                    "packages": each.packages,
                    "parameters": each.parameters,
                    "bounds": each.bounds,
                }
                for each in known().values()
            ]
        )
        return
    for example in known().values():
        click.echo(f"{example.name}: {example.summary}")
        for name, default in example.parameters.items():
            click.echo(f"    {name}={default!r}")
        for bound in example.bounds:
            click.echo(f"    with {bound}")
        if example.packages:
            click.echo(f"    needs in `packages`: {', '.join(example.packages)}")


@examples.command()
@file_option
def put(*, file: Path | None) -> None:
    """Bring the examples to /shared/examples on the cluster, for everybody to open and copy.

    `run` does so too.
    """
    from provision.operations.examples.run import bring

    done = bring(live_hub(load_spec(file, files=False), file), TerminalProgress())
    click.echo(f"{done.files} files written, {done.deleted} removed." if done.files or done.deleted else "As they are.")


@examples.command()
@file_option
@click.option(
    "--as",
    "user",
    metavar="USER",
    default="",
    shell_complete=complete(users),
    help="The notebook user who runs them.  [default: the only one]",
)
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("examples-out"),
    show_default=True,
    metavar="FOLDER",
    help="Where the pages are written, one for each example.",
)
@click.option(
    "-p",
    "--param",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    help="A parameter of the example. May be given again.",
)
@click.argument("names", nargs=-1, metavar="[NAME]…")
@click.pass_context
def run(
    context: click.Context,
    *,
    file: Path | None,
    user: str,
    folder: Path,
    settings: tuple[str, ...],
    names: tuple[str, ...],
) -> None:
    """Run examples on the cluster, and write each with its outputs as an HTML page on this machine.

    They run one after the other, as a notebook user and with the limits of a notebook, in the PySpark kernel. Without
    NAME all of them do for which the cluster has the packages. An example ends with checks of its results: if one does
    not hold, or a cell fails, its error is shown, the others go on, and the exit code is 1.
    """
    from provision.adapters.remote import over_ssh
    from provision.model.data.places import chosen_user
    from provision.model.examples.notebooks import given
    from provision.operations.examples import run as operation
    from provision.operations.jobs.submit import unit_limits

    spec = load_spec(file, files=False)
    chosen = _runnable(operation.choose(names), spec, named=bool(names))
    if settings and len(chosen) != 1:
        raise UsageError("-p: of which example is that a parameter?", "Name one example.")
    parameters = given(chosen[0], settings) if settings else {}
    runs_as = chosen_user(spec.hub.known_users, user, "examples", "Say it, as in --as {user}.")
    cluster = live_cluster(spec, file)
    master = over_ssh(cluster.ssh_config, cluster.hub.name)
    _make(folder)
    operation.bring(master, TerminalProgress())
    failed: list[str] = []
    try:
        for example in chosen:
            STDERR.print(f"{example.name}: {example.title}", markup=False)
            path = folder / f"{example.name}.html"
            with _opened(path) as page:
                job = operation.run(
                    master,
                    example,
                    parameters=parameters,
                    user=runs_as,
                    limits=unit_limits(cluster.hub_context),
                    told=lambda name: STDERR.print(f"{name} runs as {runs_as}.", markup=False),
                    page=page,
                    errors=sys.stderr.buffer,
                )
                written = page.tell() > 0
            good = job.state == "succeeded"
            failed += [] if good else [example.name]
            outcome = "passed" if good else "FAILED"
            click.echo(f"{example.name}: {outcome} after {duration(job.seconds)}{f', {path}' if written else ''}")
    finally:
        # Ctrl-C and a lost connection end it before the last one: what has failed until then is said all the same.
        if failed:
            STDERR.print(f"Failed: {', '.join(failed)}. The pages end with the cells that did.", markup=False)
    if failed:
        context.exit(1)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a page that takes its place when it is whole; an empty one does not, as of a driver that was killed."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as page:
            yield page
        if part.stat().st_size:
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _runnable(chosen: list[Example], spec: ClusterSpec, *, named: bool) -> list[Example]:
    """Return the examples whose packages the cluster has. Raises UsageError for one that was named and lacks some."""
    from provision.operations.examples.run import missing_packages

    runnable = []
    for example in chosen:
        lacking = missing_packages(example, spec.packages)
        if not lacking:
            runnable.append(example)
        elif named:
            raise UsageError(
                f"{example.name} needs {', '.join(lacking)}, which the nodes do not have",
                f"Write `packages: {json.dumps(lacking)}` into cluster.yaml and run `provision up`.",
            )
        else:
            STDERR.print(
                f"Left out: {example.name}. It needs {', '.join(lacking)} in `packages` of cluster.yaml.", markup=False
            )
    return runnable


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}", "Name another folder with -o.") from None
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder} cannot be written to", "Name another folder with -o.")
