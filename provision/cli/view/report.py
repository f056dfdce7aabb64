"""`provision report`: one HTML file about a cluster."""

from __future__ import annotations

from pathlib import Path

import click

from provision.base.errors import UsageError
from provision.cli.spec import file_option, load_spec, source_of
from provision.cli.terminal import TerminalProgress


@click.command()
@file_option
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The file to write; - is stdout.  [default: NAME-report.html]",
)
@click.option("--verify", "checks_run", is_flag=True, help="Run the checks of `provision verify` too.")
def report(*, file: Path | None, output: Path | None, checks_run: bool) -> None:
    """Write one HTML file about the cluster.

    Topology, open ports, how the boot of each node went and what took long, versions, sizes, users, and the spec with
    its defaults. It needs no network to be read, prints well, and has no secrets.
    """
    from provision.adapters.openstack.cloud import connect
    from provision.operations.cluster.nodes import find_live_cluster
    from provision.operations.cluster.verify import verify
    from provision.operations.view.report import report as make_report

    spec, source, progress = load_spec(file, files=False), source_of(file), TerminalProgress()
    path = output or Path(f"{spec.name}-report.html")
    if str(path) != "-" and not path.parent.is_dir():
        raise UsageError(f"--output: there is no folder {path.parent}", "Make it, or name another file.")
    cloud = connect(spec.cloud, source)
    checks = verify(find_live_cluster(spec, source, cloud), progress) if checks_run else None
    page = make_report(cloud, spec, source, progress, checks)
    if str(path) == "-":
        click.echo(page, nl=False)
        return
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", "Name a file that you may write to.") from None
    click.echo(f"Wrote {path}.", err=True)
