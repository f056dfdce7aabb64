"""Stop the control plane on several hosts: its data stays on each, or what this host has of it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.doors.docker import Engine
from provision.pure.swarm import FIRST
from provision.workflows.stack_config import alone
from provision.workflows.swarm_files import door, require_swarm
from provision.workflows.swarm_hosts import forget, until

if TYPE_CHECKING:
    from collections.abc import Collection

    from provision.base.progress import Progress
    from provision.doors.swarm import Swarm


def remove_services(swarm: Swarm, kept: Collection[str]) -> None:
    """Remove all services but some; wait until this host's containers of them are gone."""
    services = set(swarm.wanted()) - set(kept)
    swarm.remove(services)
    until(lambda: ", ".join(sorted(set(map(swarm.container, services)) - {""})))


def stop_swarm(progress: Progress, *, purge: bool) -> None:
    """Remove all services but the registry's; with `purge` all of them, and this host's volumes, images and files."""
    settings = require_swarm()
    swarm = door(settings)
    engine = Engine()
    with alone(progress), progress.phase("stopping the control plane"):
        if swarm.state() == ("active", True):
            remove_services(swarm, () if purge else FIRST)
            if purge:
                swarm.drop_secrets(())
                until(swarm.remove_network)
        if purge:
            forget(engine, progress)
            progress.note("The same command removes what other hosts have; then `docker swarm leave --force`.")
