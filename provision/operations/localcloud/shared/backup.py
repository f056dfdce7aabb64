"""Write and read the backup file of a local cloud, on one host or several."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from provision import __version__
from provision.adapters import archive
from provision.adapters.docker.data import ContainerData, Place
from provision.base.errors import ProvisionError, UsageError
from provision.model.galera.status import STATUS_QUERY, read_status
from provision.model.localcloud.backup import (
    AUTHORITY,
    DATABASES,
    IDENTITIES,
    IMAGES,
    PASSWORDS,
    Manifest,
    belongs,
    outdated,
)
from provision.operations.localcloud.shared import tls
from provision.operations.localcloud.shared.installation import passwords_text
from provision.operations.localcloud.shared.schema import MIGRATED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from provision.adapters.archive import Writer
    from provision.base.progress import Progress
    from provision.model.localcloud.doctor.observed import Unit
    from provision.operations.localcloud.shared.installation import Installation

KEYSTONE_FOLDER: Final = "/var/lib/keystone"
GLANCE_FOLDER: Final = "/var/lib/glance"
NOVA_FOLDER: Final = "/var/lib/nova"
COMPUTE_ID: Final = "compute_id"
"""File that holds a hypervisor's identity in Nova."""
_SERVER_DATABASES: Final = {"information_schema", "mysql", "performance_schema", "sys"}
"""MariaDB's own databases, which are not in a backup: accounts come from templates/openstack/mariadb.sql.j2."""
_OWN_DATABASE: Final = "provision"
"""Our database, which records what the others were migrated with."""


def write_backup(
    progress: Progress,
    path: Path,
    units: tuple[Unit, ...],
    write_keys: Callable[[ContainerData, Writer], None],
    *,
    images: bool,
) -> Manifest:
    """Write all data of these containers into a new file; `write_keys` adds Keystone's keys."""
    data = ContainerData()
    source = serving_database(data, units)
    with progress.phase(f"backup into {path}"), archive.writing(path) as writer:
        inputs = dict(data.query(source, MIGRATED))
        names = {row[0] for row in data.query(source, "SHOW DATABASES")} - _SERVER_DATABASES
        progress.update("databases", f"{len(names)}, from {source}")
        # Our database comes last: until it is restored, no database counts as migrated.
        writer.add(DATABASES, data.dump(source, sorted(names, key=lambda name: (name == _OWN_DATABASE, name))))
        progress.update("databases", _size(writer, DATABASES))
        write_keys(data, writer)
        _write_files(data, writer, units)
        progress.update("keys and passwords", f"{len(writer.files) - 1} files")
        if images:
            _write_images(data, writer, units, progress)
        manifest = Manifest(datetime.now(UTC).isoformat(timespec="seconds"), __version__, inputs, dict(writer.files))
        writer.finish(manifest)
    return manifest


def serving_database(data: ContainerData, units: tuple[Unit, ...]) -> str:
    """Return the container of a MariaDB that serves, on its own or as a member of its cluster.

    Raises ProvisionError if there is none.
    """
    problem = ProvisionError("no database runs", "`provision cloud up` starts it.")
    for unit in units:
        if unit.family != "mariadb" or unit.state != "running":
            continue
        container = unit.known_as
        try:
            status = dict(data.query(container, STATUS_QUERY))
        except ProvisionError as error:
            problem = error
            continue
        # An older version runs MariaDB without Galera: it is a member of no cluster then.
        if not status.get("wsrep_provider_name") or read_status(status).serves:
            return container
        problem = ProvisionError(
            f"{unit.name} is not in step with its cluster", "`provision cloud doctor` says why, and what to do."
        )
    raise problem


def container_of(units: tuple[Unit, ...], service: str) -> str:
    """Return the container of a service; raises ProvisionError where it has none."""
    for unit in units:
        if unit.service == service:
            return unit.known_as
    raise ProvisionError(f"{service} has no container", "`provision cloud up` makes it.")


def _write_files(data: ContainerData, writer: Writer, units: tuple[Unit, ...]) -> None:
    for unit in units:
        if unit.service == "nova-compute":
            for _, content, size in data.files(unit.known_as, f"{NOVA_FOLDER}/{COMPUTE_ID}"):
                writer.add_file(f"{IDENTITIES}{unit.hypervisor}/{COMPUTE_ID}", content, size)
    writer.add(PASSWORDS, [passwords_text().encode()])
    for name, text in tls.authority_files().items():
        writer.add(AUTHORITY + name, [text.encode()])


def _write_images(data: ContainerData, writer: Writer, units: tuple[Unit, ...], progress: Progress) -> None:
    for name, content, size in data.files(container_of(units, "glance"), f"{GLANCE_FOLDER}/images"):
        if belongs(IMAGES + name):
            progress.update("images", f"{name}, {size >> 20} MiB")
            writer.add_file(IMAGES + name, content, size)
    progress.update("images", f"{sum(name.startswith(IMAGES) for name in writer.files)} files")


def _size(writer: Writer, name: str) -> str:
    return f"{writer.files[name].size / (1 << 20):.1f} MiB"


def verify(progress: Progress, path: Path) -> Manifest:
    """Read a whole backup file and return its manifest.

    Raises UsageError for a file that is incomplete or damaged, or that a newer version has made.
    """
    with progress.phase("checking the file"):
        manifest = archive.verified(path)
        progress.update(str(path), f"made {manifest.created} by version {manifest.version}")
    if is_newer(manifest.version, __version__):
        # Its databases have been migrated further, and no OpenStack goes back: they would be found out when all data
        # that is here now is gone.
        raise UsageError(
            f"{path} was made by `provision` {manifest.version}, and this one is {__version__}",
            f"Nothing was changed. Use version {manifest.version}, or a newer one.",
        )
    return manifest


def is_newer(made_by: str, version: str) -> bool:
    """Whether one version of `provision` is newer than another; a development version precedes its own."""
    # Imported only when needed: it takes 0.05 s.
    from packaging.version import InvalidVersion, Version

    try:
        return Version(made_by) > Version(version)
    except InvalidVersion:
        return False


def load_databases(data: ContainerData, target: str, path: Path, manifest: Manifest) -> None:
    """Load the databases of a backup into a MariaDB container."""
    for name, content in archive.members(path):
        if name == DATABASES:
            data.load(target, archive.chunks(content), manifest.files[name].size)


def read_small_files(path: Path) -> dict[str, bytes]:
    """Read everything in a backup but databases and images."""
    big = (DATABASES, IMAGES)
    return {name: content.read() for name, content in archive.members(path) if not name.startswith(big)}


def files_below(files: Mapping[str, bytes], folder: str) -> dict[str, str]:
    """Return the files of one folder, by their names in it."""
    return {name.removeprefix(folder): text.decode() for name, text in files.items() if name.startswith(folder)}


def put_images(data: ContainerData, container: str, path: Path, manifest: Manifest, progress: Progress) -> None:
    """Put the image files of a backup into a container that mounts Glance's volume; it does not have to run."""
    for name, content in archive.members(path):
        if name.startswith(IMAGES):
            size = manifest.files[name].size
            progress.update("images", f"{name.removeprefix(IMAGES)}, {size >> 20} MiB")
            data.put(container, Place(GLANCE_FOLDER, name, "glance"), archive.chunks(content), size)


def note_next_steps(
    data: ContainerData, target: str, installation: Installation, manifest: Manifest, progress: Progress
) -> None:
    """Say what the next `cloud up` has to do, and which images have lost their files."""
    migrated = outdated(manifest, installation.inputs)
    also = f" It first migrates what this backup has of an older version: {', '.join(migrated)}." if migrated else ""
    progress.note(f"The data is back. `provision cloud up` starts the cloud with it.{also}")
    rows = data.query(target, "SELECT name FROM glance.images WHERE deleted = 0 AND status = 'active'")
    if rows and not manifest.images:
        names = ", ".join(row[0] for row in rows)
        progress.note(
            f"The backup was made without --images. If their files are not here from before, these images are empty: "
            f"{names}. Delete such an image (`openstack image delete`) and upload it again."
        )


def note_authority(files: Mapping[str, str], progress: Progress) -> None:
    """Say that a backup's authority was left out (tls.py::write_authority), if it was."""
    if files and (wrong := tls.problem_of(files)):
        progress.note(f"The backup's authority was left out, as it {wrong}: clients have to trust this cloud's own.")
