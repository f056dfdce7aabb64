"""Monitoring on one host: turn it on and off, and ask it. It is off by default, since it costs memory."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from provision.adapters.docker import compose
from provision.adapters.docker.engine import Engine
from provision.adapters.metrics import Metrics
from provision.base.constants import LOCALCLOUD_PORTS
from provision.base.errors import ProvisionError, UsageError
from provision.base.poll import Pending
from provision.model.localcloud.monitoring.dashboards import DASHBOARDS
from provision.model.localcloud.settings import METRICS_USER, MONITORING, PROJECT
from provision.operations.grafana import write_folder
from provision.operations.localcloud.shared.consul_acl import ensure_access
from provision.operations.localcloud.shared.images import ensure_images
from provision.operations.localcloud.shared.installation import (
    control,
    ensure_files,
    is_installed,
    load_settings,
    read_passwords,
    require_complete_data,
    save_settings,
    single_host_lock,
)
from provision.operations.localcloud.shared.watch import Watch
from provision.operations.localcloud.single.scale import replica_set
from provision.operations.localcloud.single.upgrade import is_outdated, is_working

if TYPE_CHECKING:
    from pathlib import Path

    from provision.base.progress import Progress
    from provision.operations.localcloud.shared.installation import Installation
    from provision.operations.localcloud.single.rolling import ReplicaSet

_SOURCES: Final = ("consul", "mariadb", "rabbitmq", "haproxy")
"""Services that give metrics themselves, or are asked for them."""
_VOLUME: Final = f"{PROJECT}_monitoring"


def enable(progress: Progress) -> None:
    """Run monitoring, now and from now on; nothing else is replaced.

    Raises ProvisionError when it does not work: the settings are what they were then.
    """
    with single_host_lock(progress):
        # Not before: another command may be about to change them.
        before = load_settings()
        settings = replace(before, monitoring=True)
        if not is_installed() or not Engine().states(control().project):
            save_settings(settings)
            progress.note("The local cloud does not run: `provision cloud up` will start it with monitoring.")
            return
        compose.require()
        engine = Engine()
        require_complete_data()
        save_settings(settings)
        try:
            with progress.phase("images"):
                tags = ensure_images(engine, progress, {"monitoring"})
            with progress.phase("configuration"):
                installation = ensure_files(tags)
            watch = Watch(engine, progress)
            with progress.phase("monitoring"):
                rights = partial(ensure_access, settings.local_url(settings.ports.consul), installation.passwords)
                watch.until(rights, every=0.5)
                start(engine, installation, replica_set(installation.control, engine, settings, progress), watch)
        except ProvisionError:
            with suppress(ProvisionError):
                control().remove(MONITORING)
            save_settings(before)
            raise
        # On a cloud that an earlier version has started, the services do not give metrics yet.
        if old := [name for name in _SOURCES if is_outdated(engine, installation, name)]:
            progress.note(
                f"Out of date: {', '.join(old)}. Until `provision cloud up` has replaced them, with a pause of "
                "seconds, they may give no metrics, and alerts then call them down."
            )


def start(engine: Engine, installation: Installation, replicas: ReplicaSet, watch: Watch) -> None:
    """Start what is missing or out of date of monitoring, and wait until it works."""
    installation.control.up(MONITORING, no_deps=True)

    def all_work() -> Pending | None:
        waiting = [name for name in MONITORING if not is_working(engine, installation, replicas, name)]
        return Pending(", ".join(waiting)) if waiting else None

    watch.until(all_work)


def disable(progress: Progress, *, purge: bool) -> None:
    """Stop monitoring; with `purge`, remove what it has gathered too."""
    with single_host_lock(progress):
        settings = load_settings()
        # Also when it is off by the settings: with `purge`, what it left can still be removed.
        if settings.monitoring and is_installed():
            compose.require()
            with progress.phase("monitoring"):
                control().remove(MONITORING)
        save_settings(replace(settings, monitoring=False))
        if purge:
            Engine().remove_volumes([_VOLUME])


def metrics() -> Metrics:
    """Return the store; raises UsageError where monitoring is off."""
    settings = load_settings()
    return Metrics.at(settings.local_url(settings.ports.monitoring), METRICS_USER, password())


def password() -> str:
    """Return the store's password; raises UsageError where monitoring is off."""
    if not load_settings().monitoring:
        raise UsageError("monitoring is off", "`provision cloud enable monitoring` turns it on.")
    return read_passwords().get("monitoring", "")


def write_grafana(folder: Path) -> None:
    """Write the dashboards for Grafana. Raises UsageError where monitoring is off, or the folder cannot be written."""
    url, secret = f"http://127.0.0.1:{LOCALCLOUD_PORTS.monitoring}", password()
    write_folder(folder, DASHBOARDS, url, user=METRICS_USER, password=secret, login=secret)
