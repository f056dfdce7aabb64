"""Clusters on a real cloud whose servers are asleep: of an image with nothing on it, which the BIOS finds not to start.

What waits for Spark takes a server that is ACTIVE for ready. All else is the product's own: plan, requests, removal.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from provision.base.model import Node
from provision.base.poll import Pending, until
from provision.base.progress import Silent
from provision.model.image.recipe import HASH_PROPERTY
from provision.operations.cluster.up import Helpers, Up
from provision.operations.cluster.wait import UnbuiltError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openstack.connection import Connection

    from provision.adapters.cluster_dir import ClusterDir
    from provision.adapters.openstack.cloud import Cloud
    from provision.base.model import ClusterSpec
    from provision.model.cluster.steps import Plan

READY = 300
"""Seconds in which servers have to be ACTIVE."""


@contextmanager
def empty_image(cloud: Connection, name: str) -> Iterator[None]:
    """Give the cloud an image with nothing on it, marked as golden, for as long as that is needed."""
    made = cloud.image.create_image(
        name, data=bytes(1 << 20), disk_format="raw", container_format="bare", **{HASH_PROPERTY: "empty"}
    )
    try:
        yield
    finally:
        cloud.image.delete_image(made)


def up(
    cloud: Cloud,
    cluster_dir: ClusterDir,
    spec: ClusterSpec,
    confirm: Callable[[Plan], None],
    wait: Callable[[], tuple[Node, ...]] | None = None,
) -> None:
    """Run `up`, with what needs running nodes left out; `wait` takes the place of the wait for them.

    Raises ProvisionError as `up` does.
    """
    helpers = Helpers(
        find_image=lambda: "",
        make_image=lambda: "",
        readiness=lambda address, _: _Ready(cloud, spec, wait),  # type: ignore[arg-type, return-value]
        configure=lambda cluster, names: None,
        deliver=lambda cluster: None,
        refresh_targets=lambda cluster: None,
        smoke_test=lambda cluster: "no job",
        works=lambda observed: True,
        data=_NoData(),  # type: ignore[arg-type]
    )
    Up(cloud, cluster_dir, Silent(), spec=spec, source="cluster.yaml", helpers=helpers).run(confirm)


class _Ready:
    """A server that is ACTIVE is ready, since nothing runs on it."""

    def __init__(self, cloud: Cloud, spec: ClusterSpec, wait: Callable[[], tuple[Node, ...]] | None) -> None:
        self.cloud = cloud
        self.spec = spec
        self.wait = wait

    def run(self) -> tuple[Node, ...]:
        if self.wait:
            return self.wait()
        return until(self._ask, timeout=READY, too_late=lambda missing: UnbuiltError(f"too late: {missing}"))

    def _ask(self) -> tuple[Node, ...] | Pending:
        servers = [each for each in self.cloud.servers(self.spec.name) if not each.deleting]
        for server in servers:
            if server.status == "ERROR":
                raise UnbuiltError(f"{server.name}: {server.fault}")
        if len(servers) == self.spec.workers.count + 1 and all(each.status == "ACTIVE" for each in servers):
            ordered = sorted(servers, key=lambda each: (each.role != "master", each.name))
            return tuple(Node(each.name, each.role, each.address, each.id, each.status) for each in ordered)
        return Pending("servers")


class _NoData:
    """Nobody has data on servers that run nothing."""

    def waiting(self) -> tuple[str, ...]:
        return ()
