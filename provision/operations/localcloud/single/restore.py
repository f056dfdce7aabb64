"""`provision cloud restore` on one host: replace the local cloud's data with that of a backup."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.adapters.docker import compose
from provision.adapters.docker.data import ContainerData, Place
from provision.adapters.docker.engine import Engine
from provision.adapters.docker.inspect import Inspector
from provision.base.errors import ProvisionError
from provision.base.poll import Pending
from provision.model.localcloud.backup import AUTHORITY, IDENTITIES, KEYS, PASSWORDS
from provision.model.localcloud.image_families import image_name
from provision.model.localcloud.settings import PROJECT, bridges, services_of
from provision.operations.localcloud.shared import preflight, tls
from provision.operations.localcloud.shared.backup import (
    COMPUTE_ID,
    KEYSTONE_FOLDER,
    NOVA_FOLDER,
    files_below,
    load_databases,
    note_authority,
    note_next_steps,
    put_images,
    read_small_files,
    serving_database,
    verify,
)
from provision.operations.localcloud.shared.images import ensure_images
from provision.operations.localcloud.shared.installation import (
    begin_restoring,
    end_restoring,
    ensure_files,
    load_settings,
    read_passwords,
    single_host_lock,
    write_passwords,
)
from provision.operations.localcloud.shared.schema import MIGRATED
from provision.operations.localcloud.shared.watch import Watch
from provision.operations.localcloud.single import members
from provision.operations.localcloud.single.down import down

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from provision.base.progress import Progress
    from provision.model.localcloud.backup import Manifest
    from provision.operations.localcloud.shared.installation import Installation

_INSTANCES: Final = f"{NOVA_FOLDER}/instances"
"""Folder with the disks of a hypervisor's VMs, each in one named after its id; `_resize` and the like may follow."""
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def restore(progress: Progress, path: Path, confirm: Callable[[], None]) -> None:
    """Replace all data with that of a backup; `confirm` is called first if there is any, and raises to stop it.

    Raises UsageError, before anything is changed, for a file that is incomplete, damaged or too new, and for a
    certificate that cannot be used. An interrupted restore can be run again.
    """
    manifest = verify(progress, path)
    preflight.require(progress)
    compose.require()
    with single_host_lock(progress):
        _restore(progress, path, manifest, confirm)


def _restore(progress: Progress, path: Path, manifest: Manifest, confirm: Callable[[], None]) -> None:
    engine, data, settings = Engine(), ContainerData(), load_settings()
    files = read_small_files(path)
    authority = files_below(files, AUTHORITY)
    tls.require_restorable(settings, authority)
    if engine.states() or data.volumes() or read_passwords():
        confirm()
    with progress.phase("images"):
        tags = ensure_images(engine, progress, settings.families)
    down(progress, purge=False)
    # Where the cloud's files are lost, Compose knows none of its containers, and they hold its volumes.
    for state in engine.states():
        engine.stop_and_remove(state.id)
    begin_restoring(path.absolute())
    with progress.phase("databases"):
        _remove_volumes(data, keep_images=not manifest.images)
        write_passwords(files[PASSWORDS].decode())
        tls.write_authority(authority)
        installation = ensure_files(tags)
        target = _start_database(engine, data, installation, Watch(engine, progress))
        progress.update("databases", "loading")
        load_databases(data, target, path, manifest)
        # A new Watch: its time begins after the loading, which may take long.
        Watch(engine, progress).until(lambda: _all_have(data, installation, manifest))
        progress.update("databases", "loaded")
    with progress.phase("keys and images"):
        _put_keys(data, installation, files)
        _put_identities(engine, data, installation, files)
        _put_images(data, installation, path, manifest, progress)
    end_restoring()
    note_next_steps(data, target, installation, manifest, progress)
    note_authority(authority, progress)
    _note_unknown_disks(data, target, installation, tags, progress)


def _remove_volumes(data: ContainerData, *, keep_images: bool) -> None:
    """Remove the control plane's volumes: what is in no backup would not match it.

    The disks of VMs stay, and what monitoring has gathered: it says how things were, whatever they are now.
    """
    kept = {f"{PROJECT}_monitoring", *([f"{PROJECT}_glance"] if keep_images else [])}
    for name in data.volumes():
        if name.startswith(f"{PROJECT}_") and name not in kept:
            data.remove_volume(name)


def _start_database(engine: Engine, data: ContainerData, installation: Installation, watch: Watch) -> str:
    """Start an empty database with all its members, wait for its accounts, and return the container of a member."""
    members.start_infrastructure(engine, installation, watch)

    def ready() -> str | Pending:
        try:
            container = serving_database(data, Inspector().units())
            data.query(container, MIGRATED)
        except ProvisionError as error:
            return Pending(f"the database ({error.message})")
        return container

    return watch.until(ready)


def _all_have(data: ContainerData, installation: Installation, manifest: Manifest) -> Pending | None:
    """Return Pending with the MariaDB members that do not yet have what was loaded last, and so everything."""
    lacking = []
    for service in services_of(installation.settings, "mariadb"):
        try:
            complete = dict(data.query(f"{PROJECT}-{service}-1", MIGRATED)) == dict(manifest.inputs)
        except ProvisionError:
            complete = False
        if not complete:
            lacking.append(service)
    return Pending(", ".join(lacking)) if lacking else None


def _put_keys(data: ContainerData, installation: Installation, files: dict[str, bytes]) -> None:
    # The migration's container mounts the volume too, and is no replica of Keystone.
    service = "keystone-migrate"
    installation.control.create([service])
    for name, text in files.items():
        if name.startswith(KEYS):
            place = Place(KEYSTONE_FOLDER, name.removeprefix(KEYS), "keystone")
            data.put(f"{PROJECT}-{service}-1", place, [text], len(text))
    data.remove(f"{PROJECT}-{service}-1")


def _put_identities(engine: Engine, data: ContainerData, installation: Installation, files: dict[str, bytes]) -> None:
    for bridge in bridges(installation.settings):
        engine.ensure_bridge(bridge)
    for hypervisor in installation.hypervisors:
        name = hypervisor.project.removeprefix(f"{PROJECT}-")
        text = files.get(f"{IDENTITIES}{name}/{COMPUTE_ID}")
        if text is not None:
            hypervisor.create(["nova-compute"])
            place = Place(NOVA_FOLDER, COMPUTE_ID, "root")
            data.put(f"{hypervisor.project}-nova-compute-1", place, [text], len(text))


def _put_images(
    data: ContainerData, installation: Installation, path: Path, manifest: Manifest, progress: Progress
) -> None:
    if not manifest.images:
        return
    service = "glance-migrate"
    installation.control.create([service])
    put_images(data, f"{PROJECT}-{service}-1", path, manifest, progress)
    data.remove(f"{PROJECT}-{service}-1")


def _note_unknown_disks(
    data: ContainerData, target: str, installation: Installation, tags: Mapping[str, str], progress: Progress
) -> None:
    """Name the disks of VMs that were made after the backup. They stay: nobody else has what is on them."""
    volumes = set(data.volumes())
    for hypervisor in installation.hypervisors:
        volume = f"{hypervisor.project}_nova"
        if volume not in volumes:
            continue
        names = data.entries(image_name("compute", tags), volume, NOVA_FOLDER, _INSTANCES)
        if not (disks := {match[0] for match in map(_UUID.match, names) if match}):
            continue
        # Also those of deleted VMs: Nova removes their disks itself.
        known = {row[0] for row in data.query(target, "SELECT uuid FROM nova.instances")}
        if unknown := sorted(disks - known):
            progress.note(
                "These VMs were made after the backup. Nova knows nothing of them any more, and leaves their disks "
                f"alone: {', '.join(unknown)}. When the cloud is up, `docker exec {hypervisor.project}-nova-compute-1 "
                f"rm -r {_INSTANCES}/ID` removes one for good."
            )
