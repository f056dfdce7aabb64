"""The members of the clustered services (MariaDB, RabbitMQ, memcached): whether all of them serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.adapters.consul.http import ConsulUnavailableError
from provision.base.poll import Pending
from provision.model.localcloud.settings import CLUSTERED, members

if TYPE_CHECKING:
    from provision.adapters.consul.catalogue import Catalogue
    from provision.model.localcloud.settings import Settings


def missing_members(catalogue: Catalogue, settings: Settings) -> Pending | None:
    """Return Pending with the services of which fewer members serve than there shall be."""
    lacking = []
    for service in CLUSTERED:
        wanted = len(members(settings, service))
        try:
            serving = len(catalogue.containers(service))
        except ConsulUnavailableError:
            return Pending("Consul")
        if serving < wanted:
            lacking.append(f"{service} ({serving} of {wanted} serve)")
    return Pending(", ".join(lacking)) if lacking else None
