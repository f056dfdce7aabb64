"""`provision users add`, `remove` and `apply`: the spec's users, brought to a live cluster without the rest of `up`.

The spec's file is the one truth: what comes or goes is written there first. If bringing it to the cluster then breaks
off, `provision users apply` goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.adapters.openstack.cloud import AT_ONCE
from provision.base.threads import each
from provision.model.cluster import resources
from provision.operations.cluster.ansible import PLAYBOOKS, PlaybookError, run_playbooks
from provision.operations.cluster.apply import made_from
from provision.operations.cluster.nodes import find_live_cluster
from provision.operations.cluster.resolve import check_ownership, find_cluster_dir, resolve_live

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from provision.adapters.openstack.cloud import Cloud
    from provision.base.model import ClusterSpec
    from provision.base.progress import Progress
    from provision.model.cluster.resources import ObservedCluster
    from provision.model.cluster.steps import DesiredState


@dataclass(frozen=True, slots=True)
class Change:
    """What bringing the users changes, before it is done."""

    come: tuple[str, ...]
    go: tuple[str, ...]
    differ: bool
    """Whether users, or what they may do, are not as the master was last given them."""
    whole: bool
    """Whether settings that follow from the users change too: then the nodes are configured as by `up`."""
    pending: bool
    """Whether the spec has other changes that were not brought to the nodes: `up` does that."""


class UserChange:
    """One change of a live cluster's users."""

    def __init__(self, cloud: Cloud, spec: ClusterSpec, source: str, progress: Progress, before: ClusterSpec) -> None:
        """`spec` is what is wanted, `before` what its file said until now: the same if only the cluster changes."""
        self.cloud = cloud
        self.spec = spec
        self.source = source
        self.before = before
        self.progress = progress
        self.cluster_dir = find_cluster_dir(cloud, spec.name)

    def run(
        self,
        confirm: Callable[[Change], None],
        write: Callable[[], None] = lambda: None,
        forgotten: Collection[str] = (),
    ) -> Change:
        """Show the change with `confirm`, which raises to stop it, `write` the spec's file, and bring it to the nodes.

        `forgotten`: users of those that go whose homes are not kept.

        Raises UsageError before anything is changed, ProvisionError when it breaks off.
        """
        with self.cluster_dir.locked():
            observed = self.cloud.observe(self.spec.name, self.spec.workers.count)
            check_ownership(self.cluster_dir, observed, self.cloud.place())
            # It raises where there is no cluster, and before the file is written.
            cluster = find_live_cluster(self.spec, self.source, self.cloud)
            desired, old = self._desired(self.spec, observed), self._desired(self.before, observed)
            change = compare(desired, old, observed)
            confirm(change)
            write()
            with self.progress.phase("Bring the users to the cluster"):
                playbooks = PLAYBOOKS if change.whole else ("users.yml",)
                options = ("--extra-vars", f"users_forgotten={','.join(forgotten)}") if forgotten else ()
                try:
                    run_playbooks(cluster.inventory(whole=change.whole), self.progress, playbooks, options)
                except PlaybookError as error:
                    self._note(desired, observed, change, error.clean)
                    raise
            self._note(desired, observed, change, {server.name for server in observed.nodes})
        return change

    def _desired(self, spec: ClusterSpec, observed: ObservedCluster) -> DesiredState:
        return resolve_live(self.cloud, spec, observed, self.source).desired_state()

    def _note(self, desired: DesiredState, observed: ObservedCluster, change: Change, names: Collection[str]) -> None:
        """Note in the metadata what the nodes with these names have now: `up` has nothing left to do for it."""
        noted: dict[str, dict[str, str]] = {}
        for server in observed.nodes:
            if server.name not in names:
                continue
            metadata = {resources.META_SPEC: desired.spec} if change.whole else {}
            if server.role == observed.hub_role:
                self.cluster_dir.forget_passwords(change.go)
                metadata |= made_from(desired)
                # The job that has passed does not depend on who is there.
                if change.whole and server.smoke_tested == server.spec + desired.tested.removeprefix(desired.spec):
                    metadata[resources.META_SMOKE_TESTED] = desired.tested
            if metadata:
                noted[server.id] = metadata
        each(lambda server: self.cloud.set_metadata(server, **noted[server]), noted, at_once=AT_ONCE)


def compare(desired: DesiredState, before: DesiredState, observed: ObservedCluster) -> Change:
    """Compare what is wanted with what the master was given; `before` is what the spec's file said until now."""
    master = next(server for server in observed.nodes if server.role == observed.hub_role)
    present = master.users or ()
    # Nodes that had all that the file said before have all that it says now, once they are configured again.
    whole = desired.spec != before.spec and all(server.spec == before.spec for server in observed.nodes)
    return Change(
        come=tuple(name for name in desired.users if name not in present),
        go=tuple(name for name in present if name not in desired.users),
        differ=master.accounts != desired.accounts,
        whole=whole,
        pending=not whole and any(server.spec != desired.spec for server in observed.nodes),
    )
