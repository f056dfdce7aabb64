"""Look at all of the local cloud on one host, for `provision cloud doctor`; changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from provision.adapters.docker.inspect import Inspector
from provision.model.localcloud.doctor.observed import ObservedLocalCloud
from provision.model.localcloud.image_families import image_tags
from provision.model.localcloud.settings import apis
from provision.operations.localcloud.shared.images import contexts
from provision.operations.localcloud.shared.inspection import gather, inspections
from provision.operations.localcloud.shared.installation import (
    catalogue,
    control,
    hypervisors,
    is_installed,
    load_settings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provision.model.localcloud.settings import Settings
    from provision.operations.localcloud.shared.inspection import Inspection


def observe() -> ObservedLocalCloud:
    """Look at everything; `unseen` says what cannot be looked at. Raises ProvisionError if Docker does not answer."""
    inspector, settings = Inspector(), load_settings()
    now = datetime.now(UTC)
    units = inspector.units()
    if not units or not is_installed():
        return ObservedLocalCloud(now)
    # Before the threads of `gather`: it parses Python, and two threads that do so at once can fail with SystemError
    # (https://github.com/python/cpython/issues/106905).
    tags = image_tags(contexts())
    parts: dict[str, Inspection] = {
        "wanted": lambda: {"wanted": _wanted(settings)},
        **inspections(
            settings,
            inspector,
            units,
            consul=lambda: catalogue(settings),
            proxy=lambda: settings.local_url(settings.ports.haproxy_stats),
        ),
    }
    return ObservedLocalCloud(
        now, units=units, tags=tags, apis=apis(settings), hypervisors=settings.hypervisors, **gather(parts)
    )


def _wanted(settings: Settings) -> Mapping[tuple[str, str], int]:
    return {
        (project.project, service): count
        for project in (control(), *hypervisors(settings))
        for service, count in project.replicas().items()
    }
