"""`provision cloud backup` on one host: write the local cloud's data into one file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from provision.adapters import archive
from provision.adapters.docker.inspect import Inspector
from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.backup import KEY_FOLDERS, KEYS
from provision.operations.localcloud.shared.backup import KEYSTONE_FOLDER, container_of, write_backup
from provision.operations.localcloud.shared.installation import exclusive_lock, require_complete_data

if TYPE_CHECKING:
    from pathlib import Path

    from provision.adapters.archive import Writer
    from provision.adapters.docker.data import ContainerData
    from provision.base.progress import Progress
    from provision.model.localcloud.backup import Manifest
    from provision.model.localcloud.doctor.observed import Unit


def backup(progress: Progress, path: Path, *, images: bool) -> Manifest:
    """Write all data into a new file, as it is at one moment; the services go on meanwhile.

    Raises UsageError if the file cannot be written or there is no local cloud; ProvisionError, and leaves no file, if
    something fails.
    """
    archive.refuse_existing(path)
    with exclusive_lock(progress):
        require_complete_data()
        units = Inspector().units()
        if not units:
            raise UsageError("there is no local cloud on this machine", "Start it with `provision cloud up`.")
        return write_backup(progress, path, units, partial(_write_keys, units=units), images=images)


def _write_keys(data: ContainerData, writer: Writer, *, units: tuple[Unit, ...]) -> None:
    keystone = container_of(units, "keystone")
    for folder in KEY_FOLDERS:
        for name, content, size in data.files(keystone, f"{KEYSTONE_FOLDER}/{folder}"):
            writer.add_file(f"{KEYS}{folder}/{name}", content, size)
        if not any(name.startswith(f"{KEYS}{folder}/") for name in writer.files):
            raise ProvisionError(f"Keystone has no {folder}", "`provision cloud up` ends when Keystone has them.")
