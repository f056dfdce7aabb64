"""`provision cloud restore` on several hosts: load a backup into one member; the others get the data from there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from provision.adapters.docker import compose
from provision.adapters.docker.data import ContainerData
from provision.adapters.docker.engine import Engine
from provision.adapters.docker.inspect import Inspector
from provision.base.errors import ProvisionError, UsageError
from provision.base.poll import Pending
from provision.model.localcloud.backup import AUTHORITY, passwords_for_hosts
from provision.model.localcloud.image_families import image_name
from provision.model.localcloud.settings import PROJECT
from provision.model.localcloud.swarm import FIRST
from provision.operations.localcloud.shared import tls
from provision.operations.localcloud.shared.backup import (
    GLANCE_FOLDER,
    files_below,
    load_databases,
    note_authority,
    note_next_steps,
    put_images,
    read_small_files,
    serving_database,
    verify,
)
from provision.operations.localcloud.shared.installation import (
    begin_restoring,
    end_restoring,
    exclusive_lock,
    load_settings,
    passwords_document,
    read_passwords,
    write_passwords,
)
from provision.operations.localcloud.shared.schema import MIGRATED
from provision.operations.localcloud.swarm.down import remove_services
from provision.operations.localcloud.swarm.files import (
    current_settings,
    ensure_built,
    ensure_stack_files,
    require_swarm,
    swarm_adapter,
)
from provision.operations.localcloud.swarm.hosts import missing_members, require_three_hosts, until
from provision.operations.localcloud.swarm.lock import swarm_lock
from provision.operations.localcloud.swarm.up import Deployment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from provision.adapters.docker.swarm import Swarm
    from provision.base.progress import Progress
    from provision.model.localcloud.backup import Manifest

_GLANCE_MEMBER: Final = 1
"""Member whose host has Glance's images (compose/swarm.yaml)."""
_REPLICATION_TIMEOUT: Final = 600
"""Seconds in which all members have what was loaded into one."""


def restore(progress: Progress, path: Path, confirm: Callable[[], None]) -> None:
    """Replace all data with that of a backup; `confirm` is called before anything is changed, and raises to stop it.

    Raises UsageError, before anything is changed, for a file that is incomplete, damaged or too new, for an authority
    that cannot be used, and if a host is away. An interrupted restore can be run again.
    """
    manifest = verify(progress, path)
    settings = require_swarm()
    compose.require()
    engine = Engine()
    with exclusive_lock(progress), swarm_lock(swarm_adapter(settings), progress):
        swarm = swarm_adapter(current_settings(engine))
        _require_hosts(swarm, manifest)
        _restore(engine, swarm, progress, path, manifest, confirm=confirm)


def _require_hosts(swarm: Swarm, manifest: Manifest) -> None:
    """Raise UsageError unless all hosts are ready, and this one keeps the data that the backup holds."""
    hosts = swarm.hosts()
    if away := [host.name for host in hosts if not host.ready]:
        raise UsageError(
            f"{', '.join(away)}: away, so the old data there would stay, and not match the new",
            "Start the hosts that are away, or remove them with `docker node demote` and `docker node rm --force`.",
        )
    require_three_hosts(swarm)
    mine = next(host for host in hosts if host.id == swarm.host_id())
    if not mine.member:
        names = " or ".join(host.name for host in hosts if host.member)
        raise UsageError("this host runs no member of MariaDB", f"Run the same command on {names}.")
    if manifest.images and mine.member != _GLANCE_MEMBER:
        name = next(host.name for host in hosts if host.member == _GLANCE_MEMBER)
        raise UsageError(
            "the backup holds Glance's images, and those are another host's", f"Run the same command on {name}."
        )


def _restore(
    engine: Engine, swarm: Swarm, progress: Progress, path: Path, manifest: Manifest, *, confirm: Callable[[], None]
) -> None:
    data, settings, files = ContainerData(), load_settings(), read_small_files(path)
    authority = files_below(files, AUTHORITY)
    tls.require_restorable(settings, authority)
    confirm()
    with progress.phase("images"):
        until(lambda: None if swarm.registry_answers() else Pending("the registry"))
        tags, images = ensure_built(engine, swarm, progress, settings.families)
    with progress.phase("stopping the control plane"):
        remove_services(swarm, FIRST)
        # Data may not be removed while a server on another host still runs with it.
        until(lambda: Pending(f"the end of old replicas on {left}") if (left := swarm.stopping_hosts()) else None)
    begin_restoring(path.absolute())
    # All hosts get them with what is deployed first.
    write_passwords(passwords_document(passwords_for_hosts(files, read_passwords())))
    tls.write_authority(authority)
    stack = ensure_stack_files(tags, images)
    with progress.phase("databases"):
        Deployment(engine, swarm, stack, progress).start_empty(images=manifest.images)
        target = serving_database(data, Inspector().replicas())
        progress.update("databases", "loading")
        load_databases(data, target, path, manifest)
        missing = partial(missing_members, swarm, settings)
        until(partial(_all_have, data, target, manifest, missing), _REPLICATION_TIMEOUT)
        progress.update("databases", "loaded")
    if manifest.images:
        with progress.phase("images of Glance"):
            _put_images(data, image_name("glance", tags), path, manifest, progress)
    end_restoring()
    note_next_steps(data, target, stack.installation, manifest, progress)
    note_authority(authority, progress)


def _all_have(
    data: ContainerData, target: str, manifest: Manifest, missing: Callable[[], Pending | None]
) -> Pending | None:
    """Return Pending until all members have what was loaded: a member that serves has all that is committed."""
    try:
        if dict(data.query(target, MIGRATED)) != dict(manifest.inputs):
            return Pending("what was loaded last")
    except ProvisionError as error:
        return Pending(f"the database ({error.message})")
    return missing()


def _put_images(data: ContainerData, image: str, path: Path, manifest: Manifest, progress: Progress) -> None:
    holder = data.create_holder(image, f"{PROJECT}_glance", GLANCE_FOLDER)
    try:
        put_images(data, holder, path, manifest, progress)
    finally:
        data.remove(holder)
