"""The local cloud on one host, for the command line (local_cloud.py::LocalCloud)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.adapters.docker.logs import Logs
from provision.model.localcloud.doctor.rules import diagnose
from provision.operations.localcloud.shared.installation import single_host_lock
from provision.operations.localcloud.single import monitoring
from provision.operations.localcloud.single.backup import backup
from provision.operations.localcloud.single.doctor import observe
from provision.operations.localcloud.single.down import down
from provision.operations.localcloud.single.restore import restore
from provision.operations.localcloud.single.scale import scale
from provision.operations.localcloud.single.status import status
from provision.operations.localcloud.single.up import up
from provision.operations.localcloud.single.upgrade import upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from provision.adapters.metrics import Metrics
    from provision.base.progress import Progress
    from provision.model.finding import Finding
    from provision.model.localcloud.backup import Manifest
    from provision.operations.localcloud.single.status import SingleHostStatus


class SingleHost:
    """The local cloud on one host, with Docker Compose."""

    def up(self, progress: Progress, *, ha: bool | None = None, checked: Callable[[], None] = lambda: None) -> None:
        """Start everything on this host, and wait until it answers."""
        up(progress, ha=ha, checked=checked)

    def status(self) -> SingleHostStatus:
        """Look at this host's containers, APIs and hypervisors."""
        return status()

    def scale(
        self, progress: Progress, words: Sequence[str], *, ready_timeout: float, drain_timeout: float | None = None
    ) -> None:
        """Run as many replicas as the SERVICE=N words say."""
        scale(progress, words, ready_timeout=ready_timeout, drain_timeout=drain_timeout)

    def upgrade(
        self, progress: Progress, services: Sequence[str], *, ready_timeout: float, drain_timeout: float | None = None
    ) -> None:
        """Replace what is out of date of some services, or of all that can be replaced without a pause."""
        upgrade(progress, services, ready_timeout=ready_timeout, drain_timeout=drain_timeout)

    def down(self, progress: Progress, *, purge: bool) -> None:
        """Stop everything on this host; with `purge`, remove its data too."""
        # Here: `restore` stops it too, and holds the lock already.
        with single_host_lock(progress):
            down(progress, purge=purge)

    def backup(self, progress: Progress, path: Path, *, images: bool) -> Manifest:
        """Write this host's data into a new file."""
        return backup(progress, path, images=images)

    def restore(self, progress: Progress, path: Path, confirm: Callable[[], None]) -> None:
        """Replace this host's data with that of a backup."""
        restore(progress, path, confirm)

    def diagnose(self) -> list[Finding]:
        """Look at everything on this host, and say what is wrong."""
        return diagnose(observe())

    def enable_monitoring(self, progress: Progress) -> None:
        """Run the services that gather metrics and evaluate alerts."""
        monitoring.enable(progress)

    def disable_monitoring(self, progress: Progress, *, purge: bool) -> None:
        """Remove these services; with `purge`, what they have gathered too."""
        monitoring.disable(progress, purge=purge)

    def metrics(self) -> Metrics:
        """Return this host's store of metrics."""
        return monitoring.metrics()

    def write_grafana(self, folder: Path) -> None:
        """Write the dashboards and what leads Grafana to this host's store."""
        monitoring.write_grafana(folder)

    def logs(self, report: Callable[[str], None]) -> Logs:  # noqa: ARG002 - this host's Docker can read all of its logs
        """Return the reader of this host's logs."""
        return Logs()
