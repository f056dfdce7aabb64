"""The command `tunnel`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from provision.cli.spec import file_option, load_spec, source_of

if TYPE_CHECKING:
    from pathlib import Path

    from provision.operations.cluster.nodes import LiveCluster


def _cluster(file: Path | None) -> LiveCluster:
    # Not at the top: it imports Jinja, YAML and cryptography, 0.15 s that `--help` need not wait for.
    from provision.operations.cluster.nodes import find_live_cluster

    return find_live_cluster(load_spec(file, files=False), source_of(file))


@click.command()
@file_option
@click.argument("services", nargs=-1, metavar="[SERVICE]…")
def tunnel(*, file: Path | None, services: tuple[str, ...]) -> None:
    """Show Spark's own pages, or the Hub, on this machine, over SSH, until Ctrl-C.

    SERVICE is `master`, `history`, a worker's name as `worker-1`, `apps` (the page of each running application), an
    application's id, `hub`, or where monitoring is on `metrics` (its store). Default: master and history. For users of
    the Hub the pages are behind its login.
    """
    from provision.adapters.remote import over_ssh
    from provision.operations import tunnel as operation

    cluster = _cluster(file)
    master = over_ssh(cluster.ssh_config, cluster.hub.name)
    forwards = operation.choose(cluster, services, lambda: operation.find_applications(master, cluster.hub.address))
    if operation.asks_history(forwards):
        click.echo("Waiting for the history server, which starts when somebody asks for it …", err=True)
        operation.start_history(cluster)
    with suppress(KeyboardInterrupt), operation.opened(cluster, forwards) as hold:
        for each in forwards:
            click.echo(f"{each.url}  {each.title}")
        click.echo("Ctrl-C closes them.", err=True)
        hold()
