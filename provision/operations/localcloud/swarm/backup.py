"""`provision cloud backup` on several hosts: write the data into one file, on a host with a member of MariaDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.adapters import archive
from provision.adapters.docker.engine import Engine
from provision.adapters.docker.inspect import Inspector
from provision.base.errors import UsageError
from provision.model.localcloud.backup import key_files
from provision.model.localcloud.settings import base_service
from provision.operations.localcloud.shared.backup import write_backup
from provision.operations.localcloud.shared.installation import (
    exclusive_lock,
    load_settings,
    read_passwords,
    require_complete_data,
)
from provision.operations.localcloud.swarm.files import current_settings, swarm_adapter
from provision.operations.localcloud.swarm.lock import swarm_lock

if TYPE_CHECKING:
    from pathlib import Path

    from provision.adapters.archive import Writer
    from provision.adapters.docker.data import ContainerData
    from provision.adapters.docker.swarm import Swarm
    from provision.base.progress import Progress
    from provision.model.localcloud.backup import Manifest
    from provision.model.localcloud.doctor.observed import Unit


def backup(progress: Progress, path: Path, *, images: bool) -> Manifest:
    """Write all data into a new file, as it is at one moment; the services go on meanwhile.

    Raises UsageError if the file cannot be written, the local cloud does not run, or this host does not have the data;
    ProvisionError, and leaves no file, if something fails.
    """
    archive.refuse_existing(path)
    engine = Engine()
    with exclusive_lock(progress), swarm_lock(swarm_adapter(load_settings()), progress):
        require_complete_data()
        swarm = swarm_adapter(current_settings(engine))
        if not swarm.desired_replicas().get("mariadb"):
            raise UsageError("the local cloud does not run", "Start it with `provision cloud up`.")
        inspector = Inspector()
        # The control plane's containers are the Swarm's, the hypervisor's are Compose's.
        units = (*inspector.replicas(), *inspector.units())
        _require_here(swarm, units, "mariadb", "no member of MariaDB runs on this host")
        if images:
            _require_here(swarm, units, "glance", "Glance's images are files of another host")
        return write_backup(progress, path, units, _write_keys, images=images)


def _require_here(swarm: Swarm, units: tuple[Unit, ...], service: str, problem: str) -> None:
    if any(base_service(unit.service) == service and unit.state == "running" for unit in units):
        return
    running = (task for task in swarm.tasks() if task.wanted and task.state == "running")
    hosts = sorted({task.host for task in running if base_service(task.service) == service})
    raise UsageError(
        problem,
        f"Run the same command on {' or '.join(hosts)}." if hosts else "`provision cloud doctor` says why none runs.",
    )


def _write_keys(_: ContainerData, writer: Writer) -> None:
    for name, text in key_files(read_passwords()).items():
        writer.add(name, [text.encode()])
