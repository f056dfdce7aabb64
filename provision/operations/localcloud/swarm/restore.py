"""Put a backup's data in the place of all that a Swarm's hosts have: into one member; the others get it from there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from provision.adapters.docker import compose
from provision.adapters.docker.data import ContainerData
from provision.adapters.docker.engine import Engine
from provision.adapters.docker.inspect import Inspector
from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.backup import AUTHORITY, passwords_for_hosts
from provision.model.localcloud.image_families import image_name
from provision.model.localcloud.settings import PROJECT
from provision.model.localcloud.swarm import FIRST
from provision.operations.localcloud.shared import installation, tls
from provision.operations.localcloud.shared.schema import MIGRATED
from provision.operations.localcloud.single.backup import (
    GLANCE,
    below,
    checked,
    load,
    put_images,
    say_what_is_left,
    serving,
    small_files,
)
from provision.operations.localcloud.swarm.down import remove_services
from provision.operations.localcloud.swarm.files import door, ensure_built, ensure_stack_files, require_swarm
from provision.operations.localcloud.swarm.hosts import lacking_hosts, lacking_members, until
from provision.operations.localcloud.swarm.up import Deployment, current

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from provision.adapters.docker.swarm import Swarm
    from provision.base.progress import Progress
    from provision.model.localcloud.backup import Manifest

_GLANCES: Final = 1
"""The member whose host has Glance's files (compose/swarm.yaml)."""
_CAUGHT_UP: Final = 600
"""Seconds in which every member has what was loaded into one."""


def restore_swarm(progress: Progress, path: Path, sure: Callable[[], None]) -> None:
    """Put a backup's data in the place of all that is there; `sure` is called before anything is changed.

    Raises UsageError, before anything is changed, for a file that is no whole backup and hosts that are not all there.
    Broken off, it can be run again.
    """
    manifest = checked(progress, path)
    require_swarm()
    compose.require()
    engine = Engine()
    with installation.exclusive_lock(progress):
        swarm = door(current(engine))
        _require_hosts(swarm, manifest)
        sure()
        _restore(engine, swarm, progress, path, manifest)


def _require_hosts(swarm: Swarm, manifest: Manifest) -> None:
    """Raise UsageError unless all hosts are there, and this one is to have what the backup holds."""
    hosts = swarm.hosts()
    if away := [host.name for host in hosts if not host.ready]:
        raise UsageError(
            f"{', '.join(away)}: away, so the old data there would stay, and not fit to the new",
            "bring back what is away, or forget it with `docker node demote` and `docker node rm --force`",
        )
    if missing := lacking_hosts(swarm):
        raise UsageError(
            f"a control plane on several hosts needs three: {missing}",
            "`provision cloud init` prints what to run on each",
        )
    mine = next(host for host in hosts if host.id == swarm.host_id())
    if not mine.member:
        names = " or ".join(host.name for host in hosts if host.member)
        raise UsageError("this host carries no member of MariaDB", f"run the same command on {names}")
    if manifest.images and mine.member != _GLANCES:
        name = next(host.name for host in hosts if host.member == _GLANCES)
        raise UsageError("the backup holds Glance's images, and those are another host's", f"run it on {name}")


def _restore(engine: Engine, swarm: Swarm, progress: Progress, path: Path, manifest: Manifest) -> None:
    data, settings = ContainerData(), installation.load_settings()
    with progress.phase("images"):
        until(lambda: "" if swarm.registry_answers() else "the registry")
        tags, images = ensure_built(engine, swarm, progress, settings.families)
    with progress.phase("stopping the control plane"):
        remove_services(swarm, FIRST)
        # Under a server that still runs elsewhere, nothing may be removed.
        until(lambda: (left := swarm.stopping_hosts()) and f"the end of old copies on {left}")
    installation.begin_restoring(path.absolute())
    files = small_files(path)
    _write_files(files)
    stack = ensure_stack_files(tags, images)
    with progress.phase("databases"):
        Deployment(engine, swarm, stack, progress).begin_anew(images=manifest.images)
        target = serving(data, Inspector().replicas())
        progress.update("databases", "loading")
        load(data, target, path, manifest)
        until(partial(_behind, data, target, manifest, partial(lacking_members, swarm, settings)), _CAUGHT_UP)
        progress.update("databases", "loaded")
    if manifest.images:
        with progress.phase("images of Glance"):
            _put_images(data, image_name("glance", tags), path, manifest, progress)
    installation.end_restoring()
    say_what_is_left(data, target, stack.installation, manifest, progress)


def _write_files(files: Mapping[str, bytes]) -> None:
    """Write what belongs to the data beside the databases; every host gets it with what is deployed first."""
    passwords = passwords_for_hosts(files, installation.read_passwords())
    installation.write_passwords(installation.passwords_document(passwords))
    tls.write_authority(below(files, AUTHORITY))


def _behind(data: ContainerData, target: str, manifest: Manifest, lacking: Callable[[], str]) -> str:
    """Say what is missing until all members have what was loaded: one that serves has all that is committed."""
    try:
        if dict(data.query(target, MIGRATED)) != dict(manifest.inputs):
            return "what was loaded last"
    except ProvisionError as error:
        return f"the database ({error.message})"
    return lacking()


def _put_images(data: ContainerData, image: str, path: Path, manifest: Manifest, progress: Progress) -> None:
    holder = data.create_holder(image, f"{PROJECT}_glance", GLANCE)
    try:
        put_images(data, holder, path, manifest, progress)
    finally:
        data.remove(holder)
