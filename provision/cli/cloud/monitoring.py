"""`provision cloud`: turn monitoring of the `local` cloud on and off, and ask it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from provision.cli.asking import ask, require_consent
from provision.operations.localcloud.local_cloud import local_cloud

_FEATURE: Final = click.Choice(["monitoring"])


@click.command()
@click.argument("feature", type=_FEATURE)
def enable(*, feature: str) -> None:
    """Turn a part of the cloud on that is off by default, now and from now on.

    FEATURE is monitoring: it gathers metrics of the services and of this machine, and evaluates alerts.
    """
    from provision.cli.terminal import TerminalProgress

    progress = TerminalProgress()
    local_cloud().enable_monitoring(progress)
    progress.note(
        f"{feature} is on: `provision cloud alerts` says what is wrong, `provision cloud dashboards` what is seen."
    )


@click.command()
@click.option("--purge", is_flag=True, help="Remove what it has gathered, too.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.argument("feature", type=_FEATURE)
def disable(*, feature: str, purge: bool, yes: bool) -> None:
    """Turn a part of the cloud off that `enable` has turned on; its data stays.

    FEATURE is monitoring.
    """
    from provision.cli.terminal import TerminalProgress

    if purge and not yes:
        require_consent(f"--purge removes all that {feature} has gathered", yes=yes)
        ask(f"Remove all that {feature} has gathered?")
    local_cloud().disable_monitoring(TerminalProgress(), purge=purge)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the alerts that are pending, too.")
def alerts(*, as_json: bool) -> None:
    """Show the alerts that fire, and what to do about each.

    The exit code is 1 if one fires. Monitoring must be on.
    """
    from provision.cli.view.figures import show_alerts

    show_alerts(local_cloud().metrics(), as_json=as_json)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as the store of metrics answers.")
@click.argument("query", required=False)
def metrics(*, query: str | None, as_json: bool) -> None:
    """Ask the metrics that monitoring gathers, in PromQL.

    Without QUERY it lists what is asked for metrics, and whether it answers.
    """
    from provision.cli.view.figures import show_metrics

    show_metrics(local_cloud().metrics(), query, as_json=as_json)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON: each panel's figures.")
@click.option(
    "--grafana",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the dashboards for Grafana into this folder, with all that its image needs.",
)
def dashboards(*, as_json: bool, folder: Path | None) -> None:
    """Show the dashboards' newest figures, or write the dashboards for Grafana.

    With Horizon (`provision cloud scale horizon=1`) they are a page in a browser, with charts. Monitoring must be on.
    """
    from provision.cli.view.figures import show_dashboards
    from provision.model.localcloud.monitoring.dashboards import DASHBOARDS

    cloud = local_cloud()
    if folder:
        cloud.write_grafana(folder)
        click.echo(f"Wrote {folder}: `docker compose up -d` there starts Grafana.", err=True)
        return
    show_dashboards(cloud.metrics(), DASHBOARDS, as_json=as_json)
