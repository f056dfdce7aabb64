"""Remove a cluster: everything that carries its mark, in whatever state it is, and nothing else."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from provision.adapters.openstack.cloud import AT_ONCE, BusyError, TransientError
from provision.base.errors import ProvisionError
from provision.base.poll import Pending, until
from provision.base.threads import each
from provision.model.finding import listed
from provision.operations.cluster.resolve import check_ownership
from provision.operations.cluster.servers.deletion import Deletion

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.adapters.cluster_dir import ClusterDir
    from provision.adapters.openstack.cloud import Cloud
    from provision.base.progress import Progress
    from provision.model.cluster.resources import Kind, ObservedCluster, Port, Server

BUSY_TIMEOUT: Final = 120
"""Seconds that something may stay in use after all its users are gone: clouds clean up in the background."""
ROUNDS: Final = 5
"""How often what is left is looked for and removed."""


def down(
    cloud: Cloud,
    cluster_dir: ClusterDir,
    progress: Progress,
    confirm: Callable[[ObservedCluster], None],
    *,
    foreign: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Remove the cluster; return whether there was one. `confirm` shows what will be removed, and raises to stop it.

    `foreign`: also one whose keys are not here; then this machine's folder stays. It also stays where the cloud shows
    nothing, unless an earlier removal has seen to that. Raises UsageError for a cluster of somebody else.
    """
    name, place = cluster_dir.name, cloud.place()
    with cluster_dir.locked():
        observed = cloud.observe(name)
        if not observed:
            kept = cluster_dir.place()
            if kept and kept.same(place) and cluster_dir.removing:
                cluster_dir.remove()
            return False
        if not foreign:
            check_ownership(cluster_dir, observed, place)
        confirm(observed)
        if not foreign:
            cluster_dir.begin_removal(place)
        rounds = 0
        while observed:
            # A second round finds what a request that was under way during the first one has created.
            rounds += 1
            if rounds > ROUNDS:
                left = listed(f"{kind} {thing}" for kind, thing in observed.listed())
                raise ProvisionError(f"these come back each time they are removed: {left}", "Is another `up` running?")
            remove_all(cloud, name, observed, progress, sleep)
            observed = cloud.observe(name)
        if not foreign:
            cluster_dir.remove()
    return True


def remove_all(
    cloud: Cloud, name: str, observed: ObservedCluster, progress: Progress, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Remove everything that was observed, each thing after those that use it."""

    def remove(kind: str, label: str, request: Callable[[], None]) -> None:
        progress.update(f"{kind} {label}", "removing")
        _retry_while_busy(request, sleep)
        progress.update(f"{kind} {label}", "removed")

    def delete_server(server: Server) -> None:
        progress.update(f"server {server.name}", "removing")
        if not server.deleting:
            _retry_while_busy(partial(cloud.delete_server, server.id), sleep)

    def remove_port(port: Port) -> None:
        if port.on_router and (port.marked or port.device in routers):
            remove("router interface", port.address, partial(cloud.remove_interface, port.device, port.id))
        elif port.marked or (groups and groups & set(port.groups)):
            # Unmarked ports with our security group are Nova's, left behind by a server that failed while it was built.
            remove("port", port.name or port.address, partial(cloud.delete, "port", port.id))

    each(delete_server, observed.servers, at_once=AT_ONCE)
    # One that was there before leads nowhere as soon as the master's port is gone.
    for floating in (one for one in observed.floatings if one.marked):
        remove("floating IP", floating.address, partial(cloud.delete, "floating IP", floating.id))
    ids = [server.id for server in observed.servers]
    Deletion(cloud, name, ids, progress, need_ports=False, sleep=sleep).wait()
    for server in observed.servers:
        progress.update(f"server {server.name}", "removed")
    # The ports that Nova has made have gone with their servers.
    ports = cloud.observe(name).ports if ids else observed.ports
    groups, routers = {group.id for group in observed.groups}, {router.id for router in observed.routers}
    # Those of routers last: a floating IP that stays needs its router until the master's port is gone.
    each(remove_port, [port for port in ports if not port.on_router], at_once=AT_ONCE)
    for port in ports:
        if port.on_router:
            remove_port(port)
    things = (
        ("router", observed.routers),
        ("subnet", observed.subnets),
        ("network", observed.networks),
        ("security group", observed.groups),
        ("server group", observed.server_groups),
    )
    for kind, items in things:
        for item in items:
            remove(kind, item.name or item.id, partial(cloud.delete, cast("Kind", kind), item.id))
    for key in observed.keys:
        remove("key pair", key.name, partial(cloud.delete_key, name))


def _retry_while_busy(request: Callable[[], None], sleep: Callable[[float], None]) -> None:
    """Repeat a request while the cloud says that the thing is in use or fails to answer, for a bounded time.

    Raises TransientError, or ProvisionError when something else still uses the thing.
    """
    failure: BusyError | TransientError | None = None

    def attempt() -> Pending | None:
        nonlocal failure
        try:
            request()
        except (BusyError, TransientError) as error:
            failure = error
            return Pending(error.message)
        return None

    def too_late(message: str) -> ProvisionError:
        if isinstance(failure, TransientError):
            return failure
        return ProvisionError(
            message, "Something that is not part of this cluster still uses it: remove that by hand, then run it again."
        )

    def pause(seconds: float) -> None:
        sleep(max(failure.pause, seconds) if isinstance(failure, TransientError) else seconds)

    until(attempt, timeout=BUSY_TIMEOUT, every=2, too_late=too_late, sleep=pause)
