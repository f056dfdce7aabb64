"""`provision cloud down` on several hosts: stop the control plane, and remove this host's data if asked to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.adapters.docker.engine import Engine
from provision.base.errors import ProvisionError
from provision.base.poll import Pending
from provision.model.localcloud.swarm import FIRST
from provision.operations.localcloud.shared.installation import exclusive_lock
from provision.operations.localcloud.swarm import hypervisor
from provision.operations.localcloud.swarm.files import require_swarm, swarm_adapter
from provision.operations.localcloud.swarm.hosts import remove_all, until
from provision.operations.localcloud.swarm.lock import swarm_lock

if TYPE_CHECKING:
    from collections.abc import Collection

    from provision.adapters.docker.swarm import Swarm
    from provision.base.progress import Progress

_RELEASE_TIMEOUT: Final = 30
"""Seconds in which Swarm notices that a network has no containers any more."""


def remove_services(swarm: Swarm, kept: Collection[str]) -> None:
    """Remove all services but some; wait until their containers on this host have ended."""
    services = set(swarm.desired_replicas()) - set(kept)
    swarm.remove(services)

    def all_ended() -> Pending | None:
        left = set(map(swarm.container, services)) - {""}
        return Pending(", ".join(sorted(left))) if left else None

    until(all_ended)


def down(progress: Progress, *, purge: bool) -> None:
    """Remove this host's hypervisor and the control plane; with `purge` also the registry and all data of this host.

    The hypervisors of other hosts go on with their VMs.
    """
    settings = require_swarm()
    swarm = swarm_adapter(settings)
    engine = Engine()
    with exclusive_lock(progress), swarm_lock(swarm, progress), progress.phase("stopping the control plane"):
        hypervisor.stop(engine, progress, purge=purge)
        if swarm.state() == ("active", True):
            remove_services(swarm, () if purge else FIRST)
            if purge:
                swarm.drop_secrets(())
                _remove_networks(swarm, progress)
        if purge:
            remove_all(engine, progress)
            progress.note(
                "Run the same command on the other hosts to remove their data; then `docker swarm leave --force`."
            )


def _remove_networks(swarm: Swarm, progress: Progress) -> None:
    def removed() -> Pending | None:
        in_use = swarm.remove_networks()
        return Pending(in_use) if in_use else None

    try:
        until(removed, _RELEASE_TIMEOUT)
    except ProvisionError:
        progress.note("Hypervisors of other hosts still use the networks: they are removed with the last of them.")
