"""Hypervisors: their agents, and the wait until Nova and Neutron can use them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from provision.base.poll import Pending
from provision.model.localcloud.settings import EARLY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provision.adapters.docker.compose import Compose
    from provision.adapters.docker.engine import Engine
    from provision.adapters.openstack.admin import Admin
    from provision.operations.localcloud.shared.watch import Watch

AGENTS: Final = {"nova-compute": ("compute", 5672), "metadata-agent": ("neutron", 6642)}
"""The services of a hypervisor that can be replaced while its VMs run: image family, and port of their peer."""
_ENDED: Final = ("created", "exited", "dead")
"""Docker's states of a container that does not run and is not about to."""
_NUDGE_PAUSE: Final = 10
"""Seconds between two runs of the last steps."""


def start_early(engine: Engine, hypervisor: Compose) -> None:
    """Start what VMs depend on. What runs stays as it is, even if it is out of date, or they would end with it.

    What does not run is made anew: a device of the machine may be gone since, such as /dev/kvm after a reboot.
    """
    states = engine.states(hypervisor.project)
    if ended := [each.service for each in states if each.service in EARLY and each.state in _ENDED]:
        hypervisor.remove(ended)
    hypervisor.up(EARLY, no_recreate=True)


def await_hypervisors(
    engine: Engine,
    admin: Admin,
    watch: Watch,
    names: Sequence[str],
    *,
    replicas: Mapping[str, int],
    last_steps: Mapping[str, tuple[str, list[str]]],
) -> None:
    """Wait until all compute services and network agents are up, and the scheduler knows all hypervisors.

    Neutron checks OVN's agents every 37 s, and Nova looks for new hypervisors every 30 s. `last_steps` makes them do so
    at once when nothing else is missing: end of an item's name -> container and command.
    """
    nudged = float("-inf")

    def missing() -> Pending | None:
        nonlocal nudged
        lacking = admin.missing_services(names, replicas)
        for item, state in lacking.items():
            watch.update(item, state)
        if all(item.endswith(tuple(last_steps)) for item in lacking) and time.monotonic() - nudged > _NUDGE_PAUSE:
            nudged = time.monotonic()
            for end, step in last_steps.items():
                if any(item.endswith(end) for item in lacking):
                    engine.execute(*step)
        return Pending(", ".join(f"{item} ({state})" for item, state in lacking.items())) if lacking else None

    watch.until(missing)
    for name in names:
        watch.update(name, "up")
