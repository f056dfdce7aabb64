"""A cluster's monitoring, where its spec turns it on: its store of metrics, and where its nodes are."""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from provision.adapters.metrics import Metrics
from provision.adapters.onnode import targets as on_node
from provision.adapters.remote import over_ssh
from provision.adapters.store_over_ssh import SshStore
from provision.base.constants import NODE, PORTS
from provision.base.errors import ProvisionError, UsageError
from provision.model.monitoring.answers import firing
from provision.model.monitoring.cluster.dashboards import CLUSTER, HOUR
from provision.model.monitoring.cluster.gathering import gathering
from provision.model.monitoring.cluster.hour import FIRED, SPAN, hour
from provision.model.monitoring.readings import TimeSpan
from provision.model.templating import render_mapping
from provision.operations.dashboard_page import over
from provision.operations.grafana import write_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from provision.adapters.remote import Remote
    from provision.base.model import ClusterSpec
    from provision.model.monitoring.panels import Dashboard
    from provision.operations.cluster.nodes import LiveCluster

TEMPLATE: Final = "monitoring/targets.json.j2"
_HINT: Final = "`provision doctor` says why, `provision ssh -- sudo journalctl -u provision-metrics` more."


def require(spec: ClusterSpec) -> None:
    """Raise UsageError where the spec does not turn monitoring on."""
    if not spec.monitoring:
        raise UsageError(
            f"monitoring of cluster {spec.name} is off",
            "Write `monitoring: true` into cluster.yaml, and run `provision up`.",
        )


@contextmanager
def store(cluster: LiveCluster) -> Iterator[Metrics]:
    """Give the cluster's store of metrics. Raises UsageError where the spec does not turn it on."""
    require(cluster.spec)
    with SshStore(cluster.ssh_config, cluster.hub, PORTS.metrics, _HINT) as way:
        yield Metrics(way, _HINT)


def last_hour(cluster: LiveCluster) -> dict[str, Any]:
    """Return the last hour in figures, as the report shows it; where the store does not answer, why."""
    try:
        with store(cluster) as metrics:
            now = TimeSpan(SPAN, time.time(), gathering(cluster.spec.workers.count).every)
            readings = [over(metrics, panel, now) for panel in HOUR]
            return hour(readings, firing(metrics.alerts()), metrics.query(FIRED)["result"])
    except ProvisionError as error:
        return hour((), (), ()) | {"problem": error.message}


def refresh_targets(cluster: LiveCluster, remote: Remote | None = None) -> bool:
    """Tell the master which nodes there are; return whether that was news.

    Raises ProvisionError when it cannot be told.
    """
    text = render_mapping(TEMPLATE, cluster.hub_context)
    master = remote or over_ssh(cluster.ssh_config, cluster.hub.name)
    with master.start(on_node, {"path": NODE.targets, "text": text}) as piped:
        result = piped.finish()
    if not result.ok:
        raise ProvisionError(
            f"{cluster.hub.name} could not be told which nodes to monitor",
            "Run `provision up` again.",
            result.stderr,
        )
    return result.stdout.strip() == "changed"


def dashboard(spec: ClusterSpec) -> Dashboard:
    """Return the cluster's dashboard, with its name."""
    return CLUSTER.titled(f"Cluster {spec.name}", gathering(spec.workers.count).every)


def write_grafana(spec: ClusterSpec, folder: Path) -> None:
    """Write the dashboards for Grafana, which asks the store through `provision tunnel metrics`.

    Raises UsageError where monitoring is off, or the folder cannot be written.
    """
    from provision.model.monitoring.grafana import SECRETS, login_of

    require(spec)
    kept = folder / SECRETS
    login = login_of(kept.read_text()) if kept.is_file() else ""
    write_folder(
        folder, [dashboard(spec)], f"http://127.0.0.1:{PORTS.metrics}", login=login or secrets.token_urlsafe(16)
    )
