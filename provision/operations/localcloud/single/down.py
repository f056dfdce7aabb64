"""`provision cloud down` on one host: stop the local cloud, and remove its data if asked to."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from provision.adapters.docker import compose
from provision.adapters.docker.engine import Engine
from provision.adapters.openstack import clouds_yaml, config, kept_token
from provision.base import paths
from provision.base.constants import LOCAL_CLOUD
from provision.model.localcloud.settings import PROJECT, bridges
from provision.operations.localcloud.shared.installation import control, hypervisors, is_installed, load_settings

if TYPE_CHECKING:
    from provision.base.progress import Progress


def down(progress: Progress, *, purge: bool) -> None:
    """Remove containers and networks, VMs first; with `purge` also volumes, images, files and the clouds.yaml entry.

    To be called with the lock held: what another command has begun would go on beside it.
    The folders of clusters stay: they may be on other clouds, and `provision down` removes each with its cluster.
    """
    engine = Engine()
    with progress.phase("stopping the local cloud"):
        if engine.states() and is_installed():
            compose.require()
            for hypervisor in hypervisors(load_settings()):
                progress.update(hypervisor.project, "stopping")
                hypervisor.down(volumes=purge)
                progress.update(hypervisor.project, "stopped")
            progress.update("control plane", "stopping")
            control().down(volumes=purge)
            for bridge in bridges(load_settings()):
                engine.remove_bridge(bridge)
            progress.update("control plane", "stopped")
        if purge:
            # By label and in any state: this also removes what an interrupted start or a lost file has left.
            engine.purge(lambda text: progress.update("removing", text))
            clouds_yaml.remove_entry(config.own_file(), LOCAL_CLOUD, PROJECT)
            kept_token.forget_all()
            for lock in paths.cluster_dir("").glob(".*.lock"):
                # `.NAME.lock` of a cluster that no longer exists.
                if not paths.cluster_dir(lock.name[1 : -len(".lock")]).exists():
                    lock.unlink(missing_ok=True)
            # The lock's own folder last: from then on another command may begin.
            for folder in (paths.cache_dir(), paths.localcloud_dir()):
                shutil.rmtree(folder, ignore_errors=True)
