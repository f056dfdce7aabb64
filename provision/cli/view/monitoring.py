"""`provision dashboards`, `alerts` and `metrics`: what goes on in a cluster, where its spec turns monitoring on."""

from __future__ import annotations

from pathlib import Path

import click

from provision.cli.spec import file_option, live_cluster, load_spec


@click.command()
@file_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON: each panel's figures.")
@click.option(
    "--grafana",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the dashboards for Grafana into this folder, with all that its image needs.",
)
def dashboards(*, file: Path | None, as_json: bool, folder: Path | None) -> None:
    """Show the newest figures of the cluster's dashboards, or write the dashboards for Grafana.

    The Hub has them as a page with charts, at /services/dashboards/. The spec has to say `monitoring: true`.
    """
    from provision.cli.view.figures import show_dashboards
    from provision.operations.monitoring import dashboard, require, store, write_grafana

    spec = load_spec(file, files=False)
    if folder:
        write_grafana(spec, folder)
        click.echo(
            f"Wrote {folder}: `docker compose up -d` there starts Grafana, which sees the figures while "
            "`provision tunnel metrics` runs.",
            err=True,
        )
        return
    require(spec)
    with store(live_cluster(spec, file)) as metrics:
        show_dashboards(metrics, [dashboard(spec)], as_json=as_json)


@click.command()
@file_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the alerts that are pending, too.")
def alerts(*, file: Path | None, as_json: bool) -> None:
    """Show the cluster's alerts that fire, and what to do about each.

    The exit code is 1 if one fires. The spec has to say `monitoring: true`.
    """
    from provision.cli.view.figures import show_alerts
    from provision.operations.monitoring import require, store

    spec = load_spec(file, files=False)
    require(spec)
    with store(live_cluster(spec, file)) as metrics:
        show_alerts(metrics, as_json=as_json)


@click.command()
@file_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as the store of metrics answers.")
@click.argument("query", required=False)
def metrics(*, file: Path | None, query: str | None, as_json: bool) -> None:
    """Ask the metrics that the cluster's master gathers, in PromQL.

    Without QUERY it lists what is asked for metrics, and whether it answers. The spec has to say `monitoring: true`.
    """
    from provision.cli.view.figures import show_metrics
    from provision.operations.monitoring import require, store

    spec = load_spec(file, files=False)
    require(spec)
    with store(live_cluster(spec, file)) as found:
        show_metrics(found, query, as_json=as_json)
