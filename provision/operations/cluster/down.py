"""Remove a cluster: all that carries its mark, in whatever state it is, and nothing else."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from provision.adapters.openstack.cloud import BusyError, TransientError
from provision.base.errors import ProvisionError
from provision.operations.cluster.apply import await_gone

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.adapters.cluster_dir import ClusterDir
    from provision.adapters.openstack.cloud import Cloud
    from provision.base.progress import Progress
    from provision.model.cluster.resources import Kind, ObservedCluster

BUSY_SECONDS: Final = 120
"""How long something may stay in use after all that used it is gone: clouds clean up in the background."""


def down(
    cloud: Cloud,
    cluster_dir: ClusterDir,
    progress: Progress,
    agree: Callable[[ObservedCluster], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Remove the cluster; return whether there was anything. `agree` shows what goes, and raises to stop it."""
    name = cluster_dir.name
    with cluster_dir.locked():
        seen = cloud.observe(name)
        if not seen and not cluster_dir.folder.exists():
            return False
        agree(seen)
        rounds = 0
        while seen:
            # A second round finds what a request that was under way during the first one has made.
            rounds += 1
            if rounds > 5:
                left = ", ".join(f"{kind} {thing}" for kind, thing in seen.listed())
                raise ProvisionError(f"these come back each time they are removed: {left}", "Is another `up` running?")
            remove_all(cloud, name, seen, progress, sleep)
            seen = cloud.observe(name)
        cluster_dir.remove()
    return True


def remove_all(
    cloud: Cloud, name: str, seen: ObservedCluster, progress: Progress, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Remove what was seen: users of a thing before the thing."""

    def gone(kind: str, label: str, act: Callable[[], None]) -> None:
        progress.update(f"{kind} {label}", "removing")
        _patiently(act, sleep)
        progress.update(f"{kind} {label}", "removed")

    for server in seen.servers:
        progress.update(f"server {server.name}", "removing")
        if not server.deleting:
            _patiently(partial(cloud.delete_server, server.id), sleep)
    for floating in seen.floatings:
        gone("floating IP", floating.address, partial(cloud.delete, "floating IP", floating.id))
    await_gone(cloud, name, [server.id for server in seen.servers], progress, sleep)
    for server in seen.servers:
        progress.update(f"server {server.name}", "removed")
    groups = {group.id for group in seen.groups}
    for port in seen.ports:
        if port.on_router:
            gone("router leg", port.address, partial(cloud.remove_interface, port.device, port.id))
        elif port.marked or (groups and groups & set(port.groups)):
            # Unmarked ones with our security group are Nova's, left behind by a VM that died while it was built.
            gone("port", port.name or port.address, partial(cloud.delete, "port", port.id))
    things = (
        ("router", seen.routers),
        ("subnet", seen.subnets),
        ("network", seen.networks),
        ("security group", seen.groups),
    )
    for kind, items in things:
        for item in items:
            gone(kind, item.name or item.id, partial(cloud.delete, cast("Kind", kind), item.id))
    for key in seen.keys:
        gone("key pair", key.name, partial(cloud.delete_key, name))


def _patiently(act: Callable[[], None], sleep: Callable[[float], None]) -> None:
    """Do it again while the cloud says that the thing is in use, for a bounded time."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            act()
        except TransientError:
            if time.monotonic() > deadline:
                raise
            sleep(2)
        except BusyError as error:
            if time.monotonic() > deadline:
                raise ProvisionError(
                    error.message,
                    "Something that is not of this cluster still uses it: remove that by hand, then run it again.",
                ) from error
            sleep(2)
        else:
            return
