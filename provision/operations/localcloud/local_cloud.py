"""The local cloud as its commands use it, on one host or several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from provision.adapters.metrics import Metrics
    from provision.base.progress import Progress
    from provision.model.finding import Finding
    from provision.model.localcloud.backup import Manifest
    from provision.operations.localcloud.logs import LogReader


class Status(Protocol):
    """State of a local cloud."""

    @property
    def up(self) -> bool:
        """Whether everything is as `cloud up` leaves it."""

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""

    def text(self) -> str:
        """Return it as text for a person."""


class LocalCloud(Protocol):
    """What can be done with a local cloud; each method is a subcommand of `provision cloud`.

    All raise UsageError for what cannot be done, and ProvisionError when something fails.
    """

    def up(self, progress: Progress, *, ha: bool | None = None, checked: Callable[[], None] = lambda: None) -> None:
        """Make the cloud run, and wait until it answers; `ha` is whether clustered services have three members.

        `checked` is called once, when this machine has passed the checks and nothing is made yet.
        """

    def status(self) -> Status:
        """Look at the cloud; changes nothing."""

    def scale(
        self, progress: Progress, words: Sequence[str], *, ready_timeout: float, drain_timeout: float | None = None
    ) -> None:
        """Run as many replicas as the SERVICE=N words say, now and from now on."""

    def upgrade(
        self, progress: Progress, services: Sequence[str], *, ready_timeout: float, drain_timeout: float | None = None
    ) -> None:
        """Bring some services, or all, to this checkout's version."""

    def down(self, progress: Progress, *, purge: bool) -> None:
        """Stop the cloud; with `purge`, remove its data too."""

    def backup(self, progress: Progress, path: Path, *, images: bool) -> Manifest:
        """Write the cloud's data into a new file, with `images` also Glance's images."""

    def restore(self, progress: Progress, path: Path, confirm: Callable[[], None]) -> None:
        """Replace the cloud's data with that of a backup; `confirm` is called before data is lost."""

    def diagnose(self) -> list[Finding]:
        """Say what is wrong with the cloud; changes nothing."""

    def enable_monitoring(self, progress: Progress) -> None:
        """Gather metrics and evaluate alerts, now and from now on."""

    def disable_monitoring(self, progress: Progress, *, purge: bool) -> None:
        """Stop monitoring; with `purge`, remove what it has gathered too."""

    def metrics(self) -> Metrics:
        """Return the store of metrics."""

    def write_grafana(self, folder: Path) -> None:
        """Write the dashboards into a folder from which Grafana runs."""

    def logs(self, report: Callable[[str], None]) -> LogReader:
        """Return the reader of the cloud's logs; it calls `report` with what cannot be read."""


def local_cloud() -> LocalCloud:
    """Return the local cloud of this machine: on the hosts of a Swarm if it belongs to one, else on this host."""
    # Imported here, and only the one that is needed: `provision cloud --help` needs none of it.
    from provision.operations.localcloud.shared.installation import load_settings

    if load_settings().swarm:
        from provision.operations.localcloud.swarm.cloud import SwarmCloud

        return SwarmCloud()
    from provision.operations.localcloud.single.cloud import SingleHost

    return SingleHost()
