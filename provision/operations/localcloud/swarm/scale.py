"""`provision cloud scale` on several hosts: run more or fewer replicas of a service, and keep the number for later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.base.errors import UsageError
from provision.model.localcloud.replicas import SCALABLE_NAMES, SCALABLE_SERVICES, parse_replicas
from provision.model.localcloud.settings import INFRASTRUCTURE
from provision.operations.localcloud.swarm.up import up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.base.progress import Progress


def scale(progress: Progress, words: Sequence[str]) -> None:
    """Run as many replicas as the SERVICE=N words say, now and from now on; raises UsageError for wrong words."""
    wanted = parse_replicas(words, {*INFRASTRUCTURE, *(each.service for each in SCALABLE_SERVICES)})
    if "glance" in wanted:
        others = ", ".join(service for service in SCALABLE_NAMES if service != "glance")
        raise UsageError("glance cannot have replicas on several hosts yet", f"These can: {others}.")
    up(progress, wanted)
