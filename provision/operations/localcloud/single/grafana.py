"""The local cloud's dashboards for Grafana."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.base.constants import LOCALCLOUD_PORTS
from provision.model.localcloud.monitoring.dashboards import DASHBOARDS
from provision.model.localcloud.settings import METRICS_USER
from provision.operations.grafana import write_folder
from provision.operations.localcloud.single.monitoring import password

if TYPE_CHECKING:
    from pathlib import Path


def write_grafana(folder: Path) -> None:
    """Write the folder. Raises UsageError where there is no monitoring, or the folder cannot be written."""
    url, secret = f"http://127.0.0.1:{LOCALCLOUD_PORTS.monitoring}", password()
    write_folder(folder, DASHBOARDS, url, user=METRICS_USER, password=secret, login=secret)
