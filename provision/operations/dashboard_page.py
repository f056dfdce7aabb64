"""Asking a store of metrics what a dashboard shows, and its page."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from provision.base.errors import ProvisionError, UsageError
from provision.model.monitoring.answers import firing
from provision.model.monitoring.readings import SPANS, Reading, TimeSpan, least_window, series_of

if TYPE_CHECKING:
    from provision.adapters.metrics import Metrics
    from provision.model.monitoring.panels import Dashboard, Panel


def newest(metrics: Metrics, dashboard: Dashboard) -> dict[Panel, Reading]:
    """Ask for the newest figures of all panels."""
    return {panel: _newest(metrics, panel, dashboard.every) for panel in dashboard.panels()}


def _newest(metrics: Metrics, panel: Panel, every: int) -> Reading:
    found = []
    for query in panel.queries:
        answer = metrics.query(query.over(f"{least_window(every)}s"))
        found += series_of(query, answer["result"])
    return Reading(panel, tuple(found))


def over(metrics: Metrics, panel: Panel, span: TimeSpan) -> Reading:
    """Ask for a panel's figures over a time."""
    found = []
    for query in panel.queries:
        answer = metrics.query_range(query.over(span.window), span.start, span.end, span.step)
        found += series_of(query, answer)
    return Reading(panel, tuple(found), since=span.end - 2 * span.step)


def dashboard_page(metrics: Metrics, dashboard: Dashboard, span: str, home: str) -> tuple[int, str]:
    """Return the HTTP status and the page of a dashboard; for a wrong `span`, that of the last hour."""
    # pygal, which draws it, is in the images; the command line does without.
    from provision.model.monitoring.page import page, problem_page

    chosen = TimeSpan(span if span in SPANS else next(iter(SPANS)), time.time(), dashboard.every)
    try:
        readings = {
            panel: _newest(metrics, panel, dashboard.every) if section.figures else over(metrics, panel, chosen)
            for section in dashboard.sections
            for panel in section.panels
        }
        alerts = firing(metrics.alerts())
    except UsageError:
        raise
    except ProvisionError as problem:
        return 503, problem_page(dashboard, problem)
    return 200, page(dashboard, chosen, readings, alerts, home)
