"""`provision cloud scale`: more or fewer copies of a service; the choice is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from provision.adapters.docker import compose
from provision.adapters.docker.engine import Engine
from provision.adapters.haproxy import Proxy
from provision.adapters.openstack.admin import Admin
from provision.base.errors import ProvisionError
from provision.model.localcloud.replicas import READY_TIMEOUT, SCALABLE_SERVICES, SERVICE_FAMILIES, parse_replicas
from provision.model.localcloud.settings import INFRASTRUCTURE
from provision.operations.localcloud.shared import bootstrap
from provision.operations.localcloud.shared.images import ensure_images
from provision.operations.localcloud.shared.installation import (
    catalogue,
    control,
    exclusive_lock,
    is_installed,
    load_settings,
    read_passwords,
    require_whole_data,
    save_settings,
)
from provision.operations.localcloud.single.rolling import ReplicaSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from provision.adapters.docker.compose import Compose
    from provision.base.progress import Progress
    from provision.model.localcloud.host import ServiceState
    from provision.model.localcloud.settings import Settings


def copies_of(
    control: Compose,
    engine: Engine,
    settings: Settings,
    progress: Progress,
    *,
    limit: float = READY_TIMEOUT,
    patience: float | None = None,
) -> ReplicaSet:
    """Return the control plane's copies with this machine's Consul and HAProxy."""
    proxy = Proxy(settings.local_url(settings.ports.haproxy_stats))
    return ReplicaSet(control, engine, catalogue(settings), proxy, progress, limit=limit, patience=patience)


def scale(
    progress: Progress, words: Sequence[str], *, limit: float = READY_TIMEOUT, patience: float | None = None
) -> None:
    """Run as many copies as the SERVICE=N words say, now and from now on.

    Raises UsageError for words that cannot be done, and ProvisionError when a new copy does not work: it is removed
    then, and the choice is what it was.
    """
    wanted = parse_replicas(words, {*INFRASTRUCTURE, *(each.service for each in SCALABLE_SERVICES)})
    before = load_settings()
    settings = replace(before, replicas=dict(before.replicas) | wanted)
    if not is_installed() or not Engine().states(control().project):
        save_settings(settings)
        progress.note("The local cloud does not run: `provision cloud up` will start it with these copies.")
        return
    compose.require()
    engine = Engine()
    with exclusive_lock(progress):
        require_whole_data()
        save_settings(settings)
        copies = copies_of(control(), engine, settings, progress, limit=limit, patience=patience)
        try:
            with progress.phase("copies"):
                _scale(copies, wanted, _made_from(engine, progress, copies.states(), wanted))
        except ProvisionError:
            save_settings(before)
            raise
        forget(progress, settings)


def _scale(copies: ReplicaSet, wanted: Mapping[str, int], values: Mapping[str, str]) -> None:
    new = copies.start(wanted, values)
    failures: list[ProvisionError] = []
    for state in new:
        try:
            copies.wait(state)
        except ProvisionError as error:
            failures.append(error)
    if failures:
        raise failures[0]
    for service, count in wanted.items():
        for state in sorted(copies.states([service]), key=lambda each: -each.number):
            if state.number > count:
                copies.retire(state)


def _made_from(
    engine: Engine, progress: Progress, states: Iterable[ServiceState], wanted: Iterable[str]
) -> dict[str, str]:
    """Tell Compose what new copies are made from: what those that run are, whatever this checkout would give.

    Where none runs, its image is built.
    """
    families = SERVICE_FAMILIES
    values: dict[str, str] = {}
    # The last one counts: after an upgrade that broke off, what ran before it.
    for each in sorted(states, key=lambda each: each.created, reverse=True):
        values[f"{families[each.service].upper()}_TAG"] = each.image.rpartition(":")[2]
        if each.configuration:
            values[f"{families[each.service].upper()}_CONFIG"] = each.configuration
    absent = {family for family in (families[service] for service in wanted) if f"{family.upper()}_TAG" not in values}
    built = ensure_images(engine, progress, absent) if absent else {}
    return values | {f"{family.upper()}_TAG": built[family] for family in absent}


def forget(progress: Progress, settings: Settings) -> None:
    """Remove Nova's entries of copies that are gone; a Nova that does not answer keeps them until the next time."""
    admin = Admin(bootstrap.admin_login(settings, read_passwords().get("admin", "")))
    for host in admin.forget_services(settings.replicas):
        progress.update(host, "gone from Nova's list of services")
