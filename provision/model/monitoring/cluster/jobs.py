"""What a cluster's master gathers of which nodes (templates/monitoring/scrape.yaml.j2)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from provision.base.constants import PORTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provision.base.model import Node, Role
    from provision.model.cluster.resources import Server

HUB_TOKEN: Final = "/run/provision-metrics/hub-token"  # noqa: S105 - a path
"""Where the store finds its token for the Hub (templates/image/files/usr/local/lib/provision/hub-token)."""


@dataclass(frozen=True, slots=True)
class NodeMetrics:
    """Metrics of all nodes of a role, on a port and path of each."""

    name: str
    port: int
    role: Role | None = None
    """None: all nodes."""
    path: str = "/metrics"
    loopback: bool = False
    """Whether it is on the master's loopback address."""
    honor_labels: bool = False
    """Whether it tells of other nodes: its labels stay where a target has others of these names."""
    token: str = ""
    """A file with the token that is shown."""
    keep: str = ""
    """Regular expression of the metrics that are kept; empty: all."""
    drop: str = ""
    """Regular expression of metrics that are left out."""


# The servlets tell each gauge twice, as Value and as Number, and what a daemon's compiler of queries does.
_GAUGES: Final = "metrics_(?:master|worker)_.+_Value"
JOBS: Final = (
    NodeMetrics("node", PORTS.node_metrics),
    NodeMetrics("spark-master", PORTS.spark_master_ui, "master", "/metrics/master/prometheus/", keep=_GAUGES),
    NodeMetrics("spark-worker", PORTS.spark_worker_ui, "worker", "/metrics/prometheus/", keep=_GAUGES),
    NodeMetrics("spark-users", PORTS.spark_metrics, "master", loopback=True, honor_labels=True),
    NodeMetrics(
        "hub",
        PORTS.hub_api,
        "master",
        "/hub/metrics",
        loopback=True,
        token=HUB_TOKEN,
        # A series for each page, answer and time: more than all others together.
        drop="jupyterhub_request_duration_seconds.*",
    ),
)


def job_settings() -> list[dict[str, Any]]:
    """Return the jobs as the template takes them."""
    return [asdict(job) for job in JOBS]


def targets_hash(nodes: Iterable[Node | Server]) -> str:
    """Hash what monitoring is told of the nodes."""
    known = sorted((node.name, node.address) for node in nodes if node.address)
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]


def targets(nodes: Iterable[Node]) -> list[dict[str, str]]:
    """List the nodes as the template of the targets takes them; those without an address yet are left out."""
    return [{"name": node.name, "role": node.role, "address": node.address} for node in nodes if node.address]
