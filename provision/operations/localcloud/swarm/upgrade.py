"""`provision cloud upgrade` on several hosts: bring some services, or all, to this checkout's version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.adapters.docker import compose
from provision.adapters.docker.engine import Engine
from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud import ovn
from provision.model.localcloud.replicas import SERVICE_FAMILIES
from provision.model.localcloud.settings import CLUSTERED, INFRASTRUCTURE, services_of
from provision.model.localcloud.swarm import FIRST
from provision.operations.localcloud.shared.installation import exclusive_lock, load_settings, require_complete_data
from provision.operations.localcloud.swarm.files import drop_leftovers, swarm_adapter
from provision.operations.localcloud.swarm.hosts import missing_members
from provision.operations.localcloud.swarm.lock import swarm_lock
from provision.operations.localcloud.swarm.up import bring_up, newest_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.base.progress import Progress

_FAMILIES: Final = {
    **dict.fromkeys(FIRST, "registry"),
    **{name: name for name in INFRASTRUCTURE},
    **SERVICE_FAMILIES,
}
"""Services that can be named, and the families of their images."""


def upgrade(progress: Progress, services: Sequence[str]) -> None:
    """Replace what is out of date of some services, or of all.

    Raises UsageError for an unknown service, and ProvisionError when new replicas do not work: what ran before goes on
    then.
    """
    for service in services:
        if service not in _FAMILIES:
            raise UsageError(
                f"there is no service {service!r} on several hosts", f"Name one of: {', '.join(_FAMILIES)}."
            )
    compose.require()
    engine = Engine()
    with exclusive_lock(progress), swarm_lock(swarm_adapter(load_settings()), progress):
        require_complete_data()
        settings = newest_settings(engine)
        swarm = swarm_adapter(settings)
        if "keystone" not in swarm.desired_replicas():
            raise UsageError("the local cloud does not run", "Start it with `provision cloud up`.")
        if not services:
            drop_leftovers(engine, bring_up(engine, swarm, progress, settings.families))
            return
        if set(services) & set(CLUSTERED) and (missing := missing_members(swarm, settings)):
            raise ProvisionError(
                f"not all members serve ({missing.reason}), so none is replaced",
                "`provision cloud doctor` says why. When all serve, run the same command again.",
            )
        # FIRST brings the local cloud's own files to all hosts: a newer version may have made a password.
        named = (*FIRST, *services)
        only = {
            service for name in named for service in (ovn.MEMBERS if name == "ovn" else services_of(settings, name))
        }
        bring_up(engine, swarm, progress, {_FAMILIES[name] for name in named}, only)
