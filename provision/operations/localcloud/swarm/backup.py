"""Keep the data of the `local` cloud on several hosts in one file: any host with a member of MariaDB has all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.adapters import archive
from provision.adapters.docker.engine import Engine
from provision.adapters.docker.inspect import Inspector
from provision.base.errors import UsageError
from provision.model.localcloud.backup import key_files
from provision.model.localcloud.settings import base_service
from provision.operations.localcloud.shared.installation import exclusive_lock, read_passwords, require_whole_data
from provision.operations.localcloud.single.backup import keep
from provision.operations.localcloud.swarm.files import door
from provision.operations.localcloud.swarm.up import current

if TYPE_CHECKING:
    from pathlib import Path

    from provision.adapters.archive import Writer
    from provision.adapters.docker.data import ContainerData
    from provision.adapters.docker.swarm import Swarm
    from provision.base.progress import Progress
    from provision.model.localcloud.backup import Manifest
    from provision.model.localcloud.doctor.observed import Unit


def backup_swarm(progress: Progress, path: Path, *, images: bool) -> Manifest:
    """Write all data into a new file, as it is at one moment; services go on meanwhile.

    Raises UsageError where the file can't be, no cloud is, or this host has not what is asked for; ProvisionError, and
    no file, where something fails.
    """
    archive.refuse_existing(path)
    engine = Engine()
    with exclusive_lock(progress):
        require_whole_data()
        swarm = door(current(engine))
        if not swarm.desired_replicas().get("mariadb"):
            raise UsageError("the local cloud does not run", "start it with `provision cloud up`")
        look = Inspector()
        # Hypervisors are this host's own affair.
        units = (*look.replicas(), *look.units())
        _require_here(swarm, units, "mariadb", "no member of MariaDB runs on this host")
        if images:
            _require_here(swarm, units, "glance", "Glance's images are files of another host")
        return keep(progress, path, units, _keep_keys, images=images)


def _require_here(swarm: Swarm, units: tuple[Unit, ...], service: str, problem: str) -> None:
    if any(base_service(unit.service) == service and unit.state == "running" for unit in units):
        return
    running = (task for task in swarm.tasks() if task.wanted and task.state == "running")
    hosts = sorted({task.host for task in running if base_service(task.service) == service})
    raise UsageError(
        problem,
        f"run the same command on {' or '.join(hosts)}" if hosts else "`provision cloud doctor` says why none runs",
    )


def _keep_keys(_: ContainerData, writer: Writer) -> None:
    for name, text in key_files(read_passwords()).items():
        writer.add(name, [text.encode()])
