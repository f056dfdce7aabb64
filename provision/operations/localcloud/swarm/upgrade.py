"""`provision cloud upgrade` on several hosts: some services, or all, become what this checkout gives, copy by copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.adapters.docker import compose
from provision.adapters.docker.engine import Engine
from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud import ovn
from provision.model.localcloud.replicas import SERVICE_FAMILIES
from provision.model.localcloud.settings import CLUSTERED, INFRASTRUCTURE, services_of
from provision.model.localcloud.swarm import FIRST
from provision.operations.localcloud.shared.installation import exclusive_lock, require_whole_data
from provision.operations.localcloud.swarm.files import door
from provision.operations.localcloud.swarm.hosts import lacking_members
from provision.operations.localcloud.swarm.up import bring_up, current

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.base.progress import Progress

_FAMILIES: Final = {
    **dict.fromkeys(FIRST, "registry"),
    **{name: name for name in INFRASTRUCTURE},
    **SERVICE_FAMILIES,
}
"""What can be named, and its image's kind."""


def upgrade_swarm(progress: Progress, services: Sequence[str]) -> None:
    """Replace what is out of date of some services, or of all.

    Raises UsageError for a service that there is not, and ProvisionError when new copies do not work: what ran before
    goes on then.
    """
    for service in services:
        if service not in _FAMILIES:
            raise UsageError(f"there is no service {service!r} on several hosts", f"one of: {', '.join(_FAMILIES)}")
    require_whole_data()
    compose.require()
    engine = Engine()
    with exclusive_lock(progress):
        settings = current(engine)
        swarm = door(settings)
        if "keystone" not in swarm.wanted():
            raise UsageError("the local cloud does not run", "start it with `provision cloud up`")
        if not services:
            bring_up(engine, swarm, progress, settings.families)
            return
        if set(services) & set(CLUSTERED) and (missing := lacking_members(swarm, settings)):
            raise ProvisionError(
                f"not all members serve ({missing}), so none is replaced",
                "`provision cloud doctor` says why; when all serve, run the same command again",
            )
        # The installation's own files go to every host with the first: a newer version may have made a password.
        named = (*FIRST, *services)
        only = {each for name in named for each in (ovn.MEMBERS if name == "ovn" else services_of(settings, name))}
        bring_up(engine, swarm, progress, {_FAMILIES[name] for name in named}, only)
