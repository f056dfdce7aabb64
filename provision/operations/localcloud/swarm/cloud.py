"""The local cloud on several hosts, for the command line (local_cloud.py::LocalCloud)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from provision.adapters.docker.swarm_logs import SwarmLogs
from provision.base.errors import UsageError
from provision.model.localcloud.doctor.swarm_rules import diagnose_swarm
from provision.operations.localcloud.swarm.backup import backup
from provision.operations.localcloud.swarm.doctor import observe
from provision.operations.localcloud.swarm.down import down
from provision.operations.localcloud.swarm.files import require_swarm, swarm_adapter
from provision.operations.localcloud.swarm.restore import restore
from provision.operations.localcloud.swarm.scale import scale
from provision.operations.localcloud.swarm.status import status
from provision.operations.localcloud.swarm.up import up
from provision.operations.localcloud.swarm.upgrade import upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from provision.base.progress import Progress
    from provision.model.finding import Finding
    from provision.model.localcloud.backup import Manifest
    from provision.operations.localcloud.swarm.status import SwarmStatus


_NO_MONITORING: Final = (
    "there is no monitoring of a cloud on several hosts yet",
    "`provision cloud doctor` says what is wrong there. Monitoring runs on one machine, with one member each or three.",
)


class SwarmCloud:
    """The local cloud on several hosts, with Docker Swarm; each command is run on one of them."""

    def up(self, progress: Progress, *, ha: bool | None = None, checked: Callable[[], None] = lambda: None) -> None:
        """Start the control plane on all hosts and this host's hypervisor; raises UsageError for `ha=False`."""
        if ha is False:
            raise UsageError("on several hosts what keeps state has three members", "Leave out --no-ha.")
        checked()
        up(progress)

    def status(self) -> SwarmStatus:
        """Look at hosts, services, APIs and hypervisors."""
        return status()

    def scale(
        self,
        progress: Progress,
        words: Sequence[str],
        *,
        ready_timeout: float,  # noqa: ARG002 - Swarm has its own
        drain_timeout: float | None = None,  # noqa: ARG002 - each service has its own
    ) -> None:
        """Run as many replicas as the SERVICE=N words say; Swarm spreads them over the hosts."""
        scale(progress, words)

    def upgrade(
        self,
        progress: Progress,
        services: Sequence[str],
        *,
        ready_timeout: float,  # noqa: ARG002 - Swarm has its own
        drain_timeout: float | None = None,
    ) -> None:
        """Replace what is out of date of some services, or of all; raises UsageError for a `drain_timeout`."""
        if drain_timeout is not None:
            raise UsageError(
                "on several hosts each service has its own time to end what it has begun", "Leave out --grace."
            )
        upgrade(progress, services)

    def down(self, progress: Progress, *, purge: bool) -> None:
        """Stop the control plane and this host's hypervisor; with `purge`, remove this host's data too."""
        down(progress, purge=purge)

    def backup(self, progress: Progress, path: Path, *, images: bool) -> Manifest:
        """Write the data into a new file on this host."""
        return backup(progress, path, images=images)

    def restore(self, progress: Progress, path: Path, confirm: Callable[[], None]) -> None:
        """Replace the data on all hosts with that of a backup."""
        restore(progress, path, confirm)

    def diagnose(self) -> list[Finding]:
        """Look at all hosts, and at this one in depth, and say what is wrong."""
        return diagnose_swarm(observe())

    def enable_monitoring(self, progress: Progress) -> NoReturn:  # noqa: ARG002 - it is refused
        """Raise UsageError: the exporters and the store are made for one host."""
        raise UsageError(*_NO_MONITORING)

    def disable_monitoring(self, progress: Progress, *, purge: bool) -> NoReturn:  # noqa: ARG002 - it is refused
        """Raise UsageError, as there is nothing to stop."""
        raise UsageError(*_NO_MONITORING)

    def metrics(self) -> NoReturn:
        """Raise UsageError, as there are none."""
        raise UsageError(*_NO_MONITORING)

    def write_grafana(self, folder: Path) -> NoReturn:  # noqa: ARG002 - it is refused
        """Raise UsageError, as there is nothing to show."""
        raise UsageError(*_NO_MONITORING)

    def logs(self, report: Callable[[str], None]) -> SwarmLogs:
        """Return the reader of all hosts' logs; it calls `report` with what cannot be read."""
        return SwarmLogs(swarm_adapter(require_swarm()), report)
