"""Keep the `local` cloud's data in one file, and put it back: databases, and what they are worth nothing without."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from provision import __version__
from provision.adapters import archive
from provision.adapters.docker import compose
from provision.adapters.docker.data import Data, Place
from provision.adapters.docker.engine import Engine
from provision.adapters.docker.inspect import Inspector
from provision.base.errors import ProvisionError, UsageError
from provision.model.galera.status import STATUS_QUERY, read_status
from provision.model.localcloud import backup as its
from provision.model.localcloud.backup import (
    AUTHORITY,
    DATABASES,
    IDENTITIES,
    IMAGES,
    KEY_FOLDERS,
    KEYS,
    PASSWORDS,
    Manifest,
)
from provision.model.localcloud.settings import PROJECT, bridges, services_of
from provision.operations.localcloud.shared import installation as stack_config
from provision.operations.localcloud.shared import preflight, tls
from provision.operations.localcloud.shared.images import ensure_images
from provision.operations.localcloud.shared.schema import MIGRATED
from provision.operations.localcloud.shared.watch import Watch
from provision.operations.localcloud.single import members
from provision.operations.localcloud.single.down import stop_stack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from provision.adapters.archive import Writer
    from provision.base.progress import Progress
    from provision.model.localcloud.doctor.observed import Unit
    from provision.operations.localcloud.shared.installation import Installation

_DATABASE: Final = "mariadb"
_KEYSTONE: Final = "/var/lib/keystone"
GLANCE: Final = "/var/lib/glance"
_NOVA: Final = "/var/lib/nova"
_IDENTITY: Final = "compute_id"
_ITS_OWN: Final = {"information_schema", "mysql", "performance_schema", "sys"}
"""Databases of the server itself: accounts come from templates/openstack/mariadb.sql.j2."""
_OURS: Final = "provision"
"""Says what the others were migrated with."""


def backup(progress: Progress, path: Path, *, images: bool) -> Manifest:
    """Write all data into a new file, as it is at one moment; services go on meanwhile.

    Raises UsageError where the file can't be or no cloud is; ProvisionError, and no file, where something fails.
    """
    archive.refuse_existing(path)
    with stack_config.exclusive_lock(progress):
        stack_config.require_whole_data()
        units = Inspector().units()
        if not units:
            raise UsageError("there is no local cloud on this machine", "start it with `provision cloud up`")
        return keep(progress, path, units, partial(_keep_keys, units=units), images=images)


def keep(
    progress: Progress,
    path: Path,
    units: tuple[Unit, ...],
    keep_keys: Callable[[Data, Writer], None],
    *,
    images: bool,
) -> Manifest:
    """Write all data into a file, from these containers; `keep_keys` adds Keystone's keys."""
    data = Data()
    source = serving(data, units)
    with progress.phase(f"backup into {path}"), archive.writing(path) as writer:
        inputs = dict(data.query(source, MIGRATED))
        names = {row[0] for row in data.query(source, "SHOW DATABASES")} - _ITS_OWN
        progress.update("databases", f"{len(names)}, from {source}")
        # Ours is the last: until it is back, nothing counts as migrated.
        writer.add(DATABASES, data.dump(source, sorted(names, key=lambda name: (name == _OURS, name))))
        progress.update("databases", _size(writer, DATABASES))
        keep_keys(data, writer)
        _keep_files(data, writer, units)
        progress.update("keys and passwords", f"{len(writer.files) - 1} files")
        if images:
            _keep_images(data, writer, units, progress)
        manifest = Manifest(datetime.now(UTC).isoformat(timespec="seconds"), __version__, inputs, dict(writer.files))
        writer.finish(manifest)
    return manifest


def serving(data: Data, units: tuple[Unit, ...]) -> str:
    """Choose a database that serves: alone, or as a member. A dump needs no more of it than any reader."""
    problem = ProvisionError("no database runs", "`provision cloud up` starts it")
    for unit in units:
        if unit.family != _DATABASE or unit.state != "running":
            continue
        container = unit.known_as
        try:
            known = dict(data.query(container, STATUS_QUERY))
        except ProvisionError as error:
            problem = error
            continue
        # Without Galera, as an older version runs it, it is nobody's member.
        if not known.get("wsrep_provider_name") or read_status(known).serves:
            return container
        problem = ProvisionError(f"{unit.name} is not in step with its cluster", "`provision cloud doctor` says more")
    raise problem


def _keep_keys(data: Data, writer: Writer, *, units: tuple[Unit, ...]) -> None:
    keystone = _container(units, "keystone")
    for folder in KEY_FOLDERS:
        for name, content, size in data.files(keystone, f"{_KEYSTONE}/{folder}"):
            writer.add_file(f"{KEYS}{folder}/{name}", content, size)
        if not any(name.startswith(f"{KEYS}{folder}/") for name in writer.files):
            raise ProvisionError(f"Keystone has no {folder}", "`provision cloud up` ends when it has them")


def _keep_files(data: Data, writer: Writer, units: tuple[Unit, ...]) -> None:
    for unit in units:
        if unit.service == "nova-compute":
            for _, content, size in data.files(unit.known_as, f"{_NOVA}/{_IDENTITY}"):
                writer.add_file(f"{IDENTITIES}{unit.hypervisor}/{_IDENTITY}", content, size)
    writer.add(PASSWORDS, [stack_config.passwords_text().encode()])
    for name, text in tls.authority_files().items():
        writer.add(AUTHORITY + name, [text.encode()])


def _keep_images(data: Data, writer: Writer, units: tuple[Unit, ...], progress: Progress) -> None:
    for name, content, size in data.files(_container(units, "glance"), f"{GLANCE}/images"):
        if its.belongs(IMAGES + name):
            progress.update("images", f"{name}, {size >> 20} MiB")
            writer.add_file(IMAGES + name, content, size)
    progress.update("images", f"{sum(name.startswith(IMAGES) for name in writer.files)} files")


def _container(units: tuple[Unit, ...], service: str) -> str:
    for unit in units:
        if unit.service == service:
            return unit.known_as
    raise ProvisionError(f"{service} has no container", "`provision cloud up` makes it")


def _size(writer: Writer, name: str) -> str:
    return f"{writer.files[name].size / (1 << 20):.1f} MiB"


def restore(progress: Progress, path: Path, sure: Callable[[], None]) -> None:
    """Put a backup's data in the place of all that is there; `sure` is called first where anything is.

    Raises UsageError, before anything is changed, for a file that is no whole backup. Broken off, it can be run again.
    """
    manifest = checked(progress, path)
    preflight.require(progress)
    compose.require()
    with stack_config.exclusive_lock(progress):
        _restore(progress, path, manifest, sure)


def checked(progress: Progress, path: Path) -> Manifest:
    """Read all of a file and return its list; raises UsageError for what is no whole backup."""
    with progress.phase("checking the file"):
        manifest = archive.verified(path)
        progress.update(str(path), f"made {manifest.created} by version {manifest.version}")
    return manifest


def _restore(progress: Progress, path: Path, manifest: Manifest, sure: Callable[[], None]) -> None:
    engine, data = Engine(), Data()
    if engine.states() or data.volumes() or stack_config.read_passwords():
        sure()
    with progress.phase("images"):
        tags = ensure_images(engine, progress, stack_config.load_settings().families)
    stop_stack(progress, purge=False)
    stack_config.begin_restoring(path.absolute())
    files = small_files(path)
    with progress.phase("databases"):
        _clear(data, keep_images=not manifest.images)
        stack_config.write_passwords(files[PASSWORDS].decode())
        tls.write_authority(below(files, AUTHORITY))
        installation = stack_config.ensure_files(tags)
        target = _await_database(engine, data, installation, Watch(engine, progress))
        progress.update("databases", "loading")
        load(data, target, path, manifest)
        # Loading takes as long as it takes: this wait begins now.
        Watch(engine, progress).until(lambda: _behind(data, installation, manifest))
        progress.update("databases", "loaded")
    with progress.phase("keys and images"):
        _put_keys(data, installation, files)
        _put_identities(engine, data, installation, files)
        _put_images(data, installation, path, manifest, progress)
    stack_config.end_restoring()
    say_what_is_left(data, target, installation, manifest, progress)


def load(data: Data, target: str, path: Path, manifest: Manifest) -> None:
    """Have a database carry out what a backup's dump says."""
    for name, content in archive.members(path):
        if name == DATABASES:
            data.load(target, archive.chunks(content), manifest.files[name].size)


def small_files(path: Path) -> dict[str, bytes]:
    """Read what a backup holds beside databases and images."""
    big = (DATABASES, IMAGES)
    return {name: content.read() for name, content in archive.members(path) if not name.startswith(big)}


def _clear(data: Data, *, keep_images: bool) -> None:
    """Remove the control plane's volumes: what is in no backup would not fit to what is. Guests' disks stay."""
    kept = {f"{PROJECT}_glance"} if keep_images else set()
    for name in data.volumes():
        if name.startswith(f"{PROJECT}_") and name not in kept:
            data.remove_volume(name)


def below(files: Mapping[str, bytes], folder: str) -> dict[str, str]:
    """Take the files of one folder, by their names there."""
    return {name.removeprefix(folder): text.decode() for name, text in files.items() if name.startswith(folder)}


def _await_database(engine: Engine, data: Data, installation: Installation, watch: Watch) -> str:
    """Start an empty database, all its members where it has several, and wait until it has its accounts."""
    members.start_infrastructure(engine, installation, watch)
    found: list[str] = []

    def missing() -> str:
        try:
            found[:] = [serving(data, Inspector().units())]
            data.query(found[0], MIGRATED)
        except ProvisionError as error:
            return f"the database ({error.message})"
        return ""

    watch.until(missing)
    return found[0]


def _behind(data: Data, installation: Installation, manifest: Manifest) -> str:
    """Name the members of the database that do not have what was loaded last, and so all of it."""
    lack = []
    for service in services_of(installation.settings, _DATABASE):
        try:
            whole = dict(data.query(f"{PROJECT}-{service}-1", MIGRATED)) == dict(manifest.inputs)
        except ProvisionError:
            whole = False
        if not whole:
            lack.append(service)
    return ", ".join(lack)


def _put_keys(data: Data, installation: Installation, files: dict[str, bytes]) -> None:
    # The migration's container has the volume too, and is nobody's copy.
    service = "keystone-migrate"
    installation.control.create([service])
    for name, text in files.items():
        if name.startswith(KEYS):
            place = Place(_KEYSTONE, name.removeprefix(KEYS), "keystone")
            data.put(f"{PROJECT}-{service}-1", place, [text], len(text))
    data.remove(f"{PROJECT}-{service}-1")


def _put_identities(engine: Engine, data: Data, installation: Installation, files: dict[str, bytes]) -> None:
    for bridge in bridges(installation.settings):
        engine.ensure_bridge(bridge)
    for hypervisor in installation.hypervisors:
        name = hypervisor.project.removeprefix(f"{PROJECT}-")
        text = files.get(f"{IDENTITIES}{name}/{_IDENTITY}")
        if text is not None:
            hypervisor.create(["nova-compute"])
            data.put(f"{hypervisor.project}-nova-compute-1", Place(_NOVA, _IDENTITY, "root"), [text], len(text))


def _put_images(data: Data, installation: Installation, path: Path, manifest: Manifest, progress: Progress) -> None:
    if not manifest.images:
        return
    service = "glance-migrate"
    installation.control.create([service])
    put_images(data, f"{PROJECT}-{service}-1", path, manifest, progress)
    data.remove(f"{PROJECT}-{service}-1")


def put_images(data: Data, container: str, path: Path, manifest: Manifest, progress: Progress) -> None:
    """Put a backup's image files into a container that has Glance's volume; it need not run."""
    for name, content in archive.members(path):
        if name.startswith(IMAGES):
            size = manifest.files[name].size
            progress.update("images", f"{name.removeprefix(IMAGES)}, {size >> 20} MiB")
            data.put(container, Place(GLANCE, name, "glance"), archive.chunks(content), size)


def say_what_is_left(
    data: Data, target: str, installation: Installation, manifest: Manifest, progress: Progress
) -> None:
    """Say what the next `cloud up` has to do, and what was in no backup."""
    migrated = its.outdated(manifest, installation.inputs)
    also = f" It first migrates what this backup has of an older version: {', '.join(migrated)}." if migrated else ""
    progress.note(f"The data is back. `provision cloud up` starts the cloud with it.{also}")
    there = data.query(target, "SELECT name FROM glance.images WHERE deleted = 0 AND status = 'active'")
    if there and not manifest.images:
        names = ", ".join(row[0] for row in there)
        progress.note(
            f"The backup was made without --images. If their files are not here from before, these images are empty: "
            f"{names}. Delete such an image (`openstack image delete`) and upload it again."
        )
