"""The page of the local cloud's dashboard, a panel of Horizon's: this module and what it imports are in its image."""

from __future__ import annotations

from provision.adapters.metrics import Metrics
from provision.model.localcloud.monitoring.dashboards import CLOUD
from provision.operations.dashboard_page import dashboard_page


def horizon_page(url: str, user: str, password: str, span: str, home: str) -> tuple[int, str]:
    """Return the HTTP status and the page that Horizon shows; `url` is the store's, with its account."""
    return dashboard_page(Metrics.at(url, user, password, timeout=10), CLOUD, span, home)
