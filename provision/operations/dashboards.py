"""Asking the store of metrics what the dashboards show: for the command line, and for the page in Horizon."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from provision.adapters.metrics import Metrics
from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.monitoring.dashboards import CLOUD
from provision.model.monitoring.answers import firing
from provision.model.monitoring.readings import SPANS, Reading, TimeSpan, series_of

if TYPE_CHECKING:
    from provision.model.monitoring.panels import Dashboard, Panel

_WINDOW: Final = "60s"
"""Over which time rates are taken that are shown as figures."""


def newest(metrics: Metrics, dashboard: Dashboard) -> dict[Panel, Reading]:
    """Ask for the newest figures of all panels."""
    return {panel: _newest(metrics, panel) for panel in dashboard.panels()}


def _newest(metrics: Metrics, panel: Panel) -> Reading:
    found = []
    for query in panel.queries:
        answer = metrics.query(query.over(_WINDOW))
        found += series_of(query, answer["result"])
    return Reading(panel, tuple(found))


def _over(metrics: Metrics, panel: Panel, span: TimeSpan) -> Reading:
    found = []
    for query in panel.queries:
        answer = metrics.query_range(query.over(span.window), span.start, span.end, span.step)
        found += series_of(query, answer)
    return Reading(panel, tuple(found), since=span.end - 2 * span.step)


def horizon_page(url: str, user: str, password: str, span: str, home: str) -> tuple[int, str]:
    """Return the HTTP status and the page that Horizon shows; `url` is the store's, with its account."""
    return cloud_page(Metrics.at(url, user, password, timeout=10), span, home)


def cloud_page(metrics: Metrics, span: str, home: str) -> tuple[int, str]:
    """Return the HTTP status and the page of the cloud's dashboard; for a wrong `span`, that of the last hour."""
    # pygal, which draws it, is in Horizon's image; the command line does without.
    from provision.model.monitoring.page import page, problem_page

    chosen = TimeSpan(span if span in SPANS else next(iter(SPANS)), time.time())
    try:
        readings = {
            panel: _newest(metrics, panel) if section.figures else _over(metrics, panel, chosen)
            for section in CLOUD.sections
            for panel in section.panels
        }
        alerts = firing(metrics.alerts())
    except UsageError:
        raise
    except ProvisionError as problem:
        return 503, problem_page(CLOUD, problem)
    return 200, page(CLOUD, chosen, readings, alerts, home)
