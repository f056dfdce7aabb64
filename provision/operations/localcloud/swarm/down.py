"""Stop the control plane on several hosts: its data stays on each, or what this host has of it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.adapters.docker.engine import Engine
from provision.base.errors import ProvisionError
from provision.model.localcloud.swarm import FIRST
from provision.operations.localcloud.shared.installation import exclusive_lock
from provision.operations.localcloud.swarm import hypervisor
from provision.operations.localcloud.swarm.files import door, require_swarm
from provision.operations.localcloud.swarm.hosts import forget, until

if TYPE_CHECKING:
    from collections.abc import Collection

    from provision.adapters.docker.swarm import Swarm
    from provision.base.progress import Progress

_RELEASE: Final = 30
"""Seconds in which Swarm sees that a network has no containers any more."""


def remove_services(swarm: Swarm, kept: Collection[str]) -> None:
    """Remove all services but some; wait until this host's containers of them are gone."""
    services = set(swarm.desired_replicas()) - set(kept)
    swarm.remove(services)
    until(lambda: ", ".join(sorted(set(map(swarm.container, services)) - {""})))


def stop_swarm(progress: Progress, *, purge: bool) -> None:
    """Remove this host's hypervisor and all services but the registry's; with `purge` all, and all that this host has.

    Hypervisors of other hosts go on with their guests: each host has its own.
    """
    settings = require_swarm()
    swarm = door(settings)
    engine = Engine()
    with exclusive_lock(progress), progress.phase("stopping the control plane"):
        hypervisor.stop(engine, progress, purge=purge)
        if swarm.state() == ("active", True):
            remove_services(swarm, () if purge else FIRST)
            if purge:
                swarm.drop_secrets(())
                _remove_networks(swarm, progress)
        if purge:
            forget(engine, progress)
            progress.note("The same command removes what other hosts have; then `docker swarm leave --force`.")


def _remove_networks(swarm: Swarm, progress: Progress) -> None:
    try:
        until(swarm.remove_networks, _RELEASE)
    except ProvisionError:
        progress.note("Hypervisors of other hosts still use the networks: the last of them to go takes them away.")
