"""What a store of metrics answers, on the terminal: a cluster's and the local cloud's alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from provision.cli.terminal import print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.adapters.metrics import Metrics
    from provision.model.monitoring.panels import Dashboard


def show_alerts(store: Metrics, *, as_json: bool) -> None:
    """Print the alerts that fire; the exit code is 1 if one does."""
    from provision.model.finding import text
    from provision.model.monitoring.answers import firing

    found = store.alerts()
    findings = firing(found)
    if as_json:
        print_json({"firing": len(findings), "alerts": found})
    else:
        click.echo(text(findings, "No alert fires."))
    if findings:
        raise click.exceptions.Exit(1)


def show_metrics(store: Metrics, query: str | None, *, as_json: bool) -> None:
    """Print the answer to a query; without one, what is asked for metrics."""
    from provision.model.monitoring.answers import series, targets

    if query is None:
        found = store.targets()
        lines = targets(found)
    else:
        answer = store.query(query)
        found, lines = answer["result"], series(answer)
    if as_json:
        print_json(found)
    elif lines:
        click.echo("\n".join(lines))
    else:
        click.echo("Nothing has these metrics at this moment.", err=True)


def show_dashboards(store: Metrics, boards: Sequence[Dashboard], *, as_json: bool) -> None:
    """Print the newest figures of dashboards."""
    from provision.model.monitoring.readings import document, lines
    from provision.operations.dashboard_page import newest

    readings = {each: newest(store, each) for each in boards}
    if as_json:
        print_json({each.name: document(each, found) for each, found in readings.items()})
        return
    for each, found in readings.items():
        click.echo("\n".join(lines(each, found)))
