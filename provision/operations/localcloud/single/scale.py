"""`provision cloud scale` on one host: run more or fewer replicas of a service, and keep the number for later."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from provision.adapters.docker import compose
from provision.adapters.docker.engine import Engine
from provision.adapters.haproxy import HAProxy
from provision.adapters.openstack.admin import Admin
from provision.base.errors import ProvisionError
from provision.model.localcloud.replicas import READY_TIMEOUT, SCALABLE_SERVICES, SERVICE_FAMILIES, parse_replicas
from provision.model.localcloud.settings import INFRASTRUCTURE
from provision.operations.localcloud.shared import login
from provision.operations.localcloud.shared.images import ensure_images
from provision.operations.localcloud.shared.installation import (
    catalogue,
    control,
    is_installed,
    load_settings,
    read_passwords,
    require_complete_data,
    save_settings,
    single_host_lock,
)
from provision.operations.localcloud.single.rolling import ReplicaSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from provision.adapters.docker.compose import Compose
    from provision.base.progress import Progress
    from provision.model.localcloud.host import ServiceState
    from provision.model.localcloud.settings import Settings


def replica_set(
    control: Compose,
    engine: Engine,
    settings: Settings,
    progress: Progress,
    *,
    ready_timeout: float = READY_TIMEOUT,
    drain_timeout: float | None = None,
) -> ReplicaSet:
    """Return the control plane's replicas, with this machine's Consul and HAProxy."""
    return ReplicaSet(
        control,
        engine,
        catalogue(settings),
        HAProxy(settings.local_url(settings.ports.haproxy_stats)),
        progress,
        ready_timeout=ready_timeout,
        drain_timeout=drain_timeout,
    )


def scale(
    progress: Progress,
    words: Sequence[str],
    *,
    ready_timeout: float = READY_TIMEOUT,
    drain_timeout: float | None = None,
) -> None:
    """Run as many replicas as the SERVICE=N words say, now and from now on.

    Raises UsageError for words that are wrong, and ProvisionError when a new replica does not work: it is removed then,
    and its service has as many as before, now and from now on; the other services have what was asked for.
    """
    wanted = parse_replicas(words, {*INFRASTRUCTURE, *(each.service for each in SCALABLE_SERVICES)})
    with single_host_lock(progress):
        # Not before: another command may be about to change them.
        before = load_settings()
        settings = _with_replicas(before, wanted)
        if not is_installed() or not Engine().states(control().project):
            save_settings(settings)
            progress.note("The local cloud does not run: `provision cloud up` will start it with these replicas.")
            return
        compose.require()
        engine = Engine()
        require_complete_data()
        replicas = replica_set(
            control(), engine, settings, progress, ready_timeout=ready_timeout, drain_timeout=drain_timeout
        )
        with progress.phase("replicas"):
            values = image_values(engine, progress, replicas.states(), wanted)
            save_settings(settings)
            failures = _start(replicas, wanted, values)
            if failures:
                settings = _with_replicas(before, {name: wanted[name] for name in wanted if name not in failures})
                save_settings(settings)
            for service in wanted:
                _retire_surplus(replicas, service, settings.replicas_of(service))
        forget_removed(progress, settings)
        if failures:
            done = ", ".join(f"{service}={wanted[service]}" for service in wanted if service not in failures)
            kept = ", ".join(f"{service}={settings.replicas_of(service)}" for service in failures)
            progress.note(f"As asked for: {done or 'nothing'}. As before: {kept}.")
            raise next(iter(failures.values()))


def _with_replicas(settings: Settings, wanted: Mapping[str, int]) -> Settings:
    return replace(settings, replicas=dict(settings.replicas) | dict(wanted))


def _start(replicas: ReplicaSet, wanted: Mapping[str, int], values: Mapping[str, str]) -> dict[str, ProvisionError]:
    """Start what is missing, and wait until it works; return the services of which something does not, and why."""
    try:
        new = replicas.start(wanted, values)
    except ProvisionError as error:
        # Of which service it is Compose says in words alone.
        return dict.fromkeys(wanted, error)
    failures: dict[str, ProvisionError] = {}
    for state in new:
        try:
            replicas.wait(state)
        except ProvisionError as error:
            failures.setdefault(state.service, error)
    return failures


def _retire_surplus(replicas: ReplicaSet, service: str, count: int) -> None:
    for state in sorted(replicas.states([service]), key=lambda state: -state.number):
        if state.number > count:
            replicas.retire(state)


def image_values(
    engine: Engine, progress: Progress, states: Iterable[ServiceState], wanted: Iterable[str]
) -> dict[str, str]:
    """Return the Compose values with which a new replica has the image and configuration of those that run.

    This checkout may give others. The image of a family of which nothing runs is built.
    """
    values: dict[str, str] = {}
    # The oldest container is the last here, and counts: after an interrupted upgrade, what ran before it.
    for state in sorted(states, key=lambda state: state.created, reverse=True):
        values[f"{SERVICE_FAMILIES[state.service].upper()}_TAG"] = state.image.rpartition(":")[2]
        if state.configuration:
            values[f"{SERVICE_FAMILIES[state.service].upper()}_CONFIG"] = state.configuration
    absent = {
        family for family in (SERVICE_FAMILIES[service] for service in wanted) if f"{family.upper()}_TAG" not in values
    }
    built = ensure_images(engine, progress, absent) if absent else {}
    return values | {f"{family.upper()}_TAG": built[family] for family in absent}


def forget_removed(progress: Progress, settings: Settings) -> None:
    """Remove the entries of removed replicas from Nova's list; if Nova does not answer, until the next time."""
    admin = Admin(login.admin_login(settings, read_passwords().get("admin", "")))
    for host in admin.forget_services(settings.replicas):
        progress.update(host, "removed from Nova's list of services")
