"""The page of a cluster's dashboard, a service of its Hub's: the nodes' image has this module and what it imports."""

from __future__ import annotations

from typing import Final

from provision.adapters.metrics import Metrics
from provision.model.monitoring.cluster.dashboards import CLUSTER
from provision.operations.dashboard_page import dashboard_page

_HINT: Final = "`provision doctor` says why."


def hub_page(url: str, name: str, every: int, span: str, home: str) -> tuple[int, str]:
    """Return the HTTP status and the page that the Hub shows of the cluster `name`.

    `url` is the store's, `every` the seconds between two looks of it.
    """
    metrics = Metrics.at(url, timeout=10, hint=_HINT)
    return dashboard_page(metrics, CLUSTER.titled(f"Cluster {name}", every), span, home)
