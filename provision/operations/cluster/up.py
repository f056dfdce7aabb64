"""Make a cluster, or what is missing of it: resolve, plan, show, apply, wait, prove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from provision.adapters import net
from provision.adapters.openstack.cloud import TransientError
from provision.base.constants import LOCAL_CLOUD, PORTS
from provision.base.errors import ProvisionError, UsageError
from provision.model.cluster import resources
from provision.model.cluster.plan import plan as make_plan
from provision.operations.cluster.apply import Apply
from provision.operations.cluster.resolve import GOLDEN, ResolvedSpec, check_room, resolve, used_image
from provision.operations.cluster.status import hub_says, hub_url
from provision.operations.cluster.wait import TIMEOUT, ReadinessWait, UnbuiltError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from provision.adapters.cluster_dir import ClusterDir
    from provision.adapters.openstack.cloud import Cloud
    from provision.base.model import ClusterSpec, Node
    from provision.base.progress import Progress
    from provision.model.cluster.plan import DesiredState, Plan, Step
    from provision.model.cluster.resources import ObservedCluster

ATTEMPTS: Final = 4
"""How often the steps are planned anew after the cloud failed to answer one of them."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the user is told at the end."""

    changed: bool
    hub_url: str
    spark_ui: str
    users: tuple[str, ...]
    passwords: Path
    authority: Path | None
    """The certificate to trust; None where the user brought a certificate of their own."""
    job: str = ""
    """What the proving job said; empty when it did not have to run."""


@dataclass(frozen=True, slots=True)
class Helpers:
    """What `up` needs besides the cloud door; the unit tests give simpler ones."""

    image: Callable[[], str]
    """Bakes and uploads the golden image where it is missing; returns its id."""
    readiness: Callable[[str], ReadinessWait]
    """Makes the watch over the cluster behind a floating IP."""
    configure: Callable[[Apply, tuple[Node, ...]], None]
    """Converges live nodes to the spec."""
    smoke_test: Callable[[Apply, tuple[Node, ...]], str]
    """Runs a real job and returns what it said; raises ProvisionError when it fails."""
    works: Callable[[str], bool]
    """Whether the cluster behind a floating IP works, in one quick look."""


class Up:
    """One run of `up` on one cluster."""

    def __init__(
        self,
        cloud: Cloud,
        cluster_dir: ClusterDir,
        progress: Progress,
        *,
        spec: ClusterSpec,
        source: str,
        helpers: Helpers,
    ) -> None:
        self.cloud = cloud
        self.cluster_dir = cluster_dir
        self.progress = progress
        self.spec = spec
        self.source = source
        self.helpers = helpers

    def run(self, agree: Callable[[Plan], None], *, replace: bool = False) -> Summary:
        """Make the cloud hold a working cluster; `agree` is shown the plan before any change, and raises to stop it."""
        with self.cluster_dir.locked():
            seen, found = self.look(replace=replace)
            image = self.image(seen, replace=replace)
            desired = found.desired_state(self.cluster_dir.public_key(), image, refresh=replace)
            todo = make_plan(desired, seen)
            if not todo and self.already_works(seen, desired):
                return self.summary(seen.floatings[0].address, changed=False)
            refuse_losses(todo, replace=replace)
            agree(todo)
            apply = Apply(self.cloud, self.cluster_dir, self.progress, found=found, desired=desired, seen=seen)
            if todo:
                with self.progress.phase("Make what is missing"):
                    apply = self.apply(apply, todo, replace=replace)
            with self.progress.phase("Wait for the cluster to form"):
                apply, nodes = self.form(apply, replace=replace)
            self.configure(apply, nodes, [step for step in todo.steps if step.verb == "configure"])
            with self.progress.phase("Run a job on every worker"):
                said = self.smoke_test(apply, nodes)
            return self.summary(apply.addresses.floating, changed=True, job=said)

    def look(self, *, replace: bool) -> tuple[ObservedCluster, ResolvedSpec]:
        """Check all that can be checked before anything is changed."""
        with self.progress.phase("Look at the cloud"):
            seen = self.cloud.observe(self.spec.name)
            check_ours(self.cluster_dir, seen)
            found = resolve(self.cloud, self.spec, seen, self.source)
            todo = make_plan(found.desired_state(self.cluster_dir.public_key()), seen)
            refuse_losses(todo, replace=replace)
            if todo:
                check_room(self.cloud, found, todo)
        return seen, found

    def image(self, seen: ObservedCluster, *, replace: bool) -> str:
        """Make sure of the golden image, if the spec asks for it; return its id.

        A cluster keeps the image that it was made from: a newer one comes in with `--replace` only.
        """
        if self.spec.image != GOLDEN:
            return ""
        if not replace and (used := used_image(seen)):
            return used
        with self.progress.phase("Golden image"):
            return self.helpers.image()

    def apply(self, apply: Apply, todo: Plan, *, replace: bool) -> Apply:
        """Take the steps; when the cloud fails on the way, look again and take those that are left."""
        for left in reversed(range(ATTEMPTS)):
            try:
                apply.run(todo)
                break
            except TransientError as error:
                if not left:
                    raise
                self.progress.note(f"{error.message}; looking again")
            apply, todo = self.again(apply, replace=replace)
        return apply

    def form(self, apply: Apply, *, replace: bool) -> tuple[Apply, tuple[Node, ...]]:
        """Wait for the nodes; VMs that the cloud could not build are made again, once."""
        try:
            return apply, self.helpers.readiness(apply.addresses.floating).run()
        except UnbuiltError as error:
            self.progress.note(f"{error.message}; making it again")
        apply, todo = self.again(apply, replace=replace)
        apply = self.apply(apply, todo, replace=replace)
        return apply, self.helpers.readiness(apply.addresses.floating).run()

    def again(self, apply: Apply, *, replace: bool) -> tuple[Apply, Plan]:
        """Look at the cloud again and plan the steps that are left."""
        seen = self.cloud.observe(self.spec.name)
        todo = make_plan(apply.desired, seen)
        refuse_losses(todo, replace=replace)
        left = Apply(self.cloud, self.cluster_dir, self.progress, found=apply.found, desired=apply.desired, seen=seen)
        return left, todo

    def already_works(self, seen: ObservedCluster, desired: DesiredState) -> bool:
        """Whether a real job has run on just this, and it still answers."""
        smoke_tested = any(server.role == "master" and server.smoke_tested == desired.spec for server in seen.nodes)
        return smoke_tested and self.helpers.works(seen.floatings[0].address)

    def configure(self, apply: Apply, nodes: tuple[Node, ...], steps: list[Step]) -> None:
        """Converge the nodes whose settings are older than the spec, and note that on them."""
        if not steps:
            return
        with self.progress.phase("Bring live nodes to the spec"):
            self.helpers.configure(apply, nodes)
            masters = {node.id for node in nodes if node.role == "master"}
            for step in steps:
                metadata = {resources.META_SPEC: apply.desired.spec}
                if step.ids[0] in masters:
                    metadata[resources.META_FLOATING] = apply.addresses.floating
                self.cloud.set_metadata(step.ids[0], **metadata)

    def smoke_test(self, apply: Apply, nodes: tuple[Node, ...]) -> str:
        """Run a real job, and note on the master that it ran."""
        said = self.helpers.smoke_test(apply, nodes)
        master = next(node for node in nodes if node.role == "master")
        self.cloud.set_metadata(master.id, **{resources.META_SMOKE_TESTED: apply.desired.spec})
        return said

    def summary(self, address: str, *, changed: bool, job: str = "") -> Summary:
        """Say where everything is."""
        return Summary(
            changed=changed,
            hub_url=hub_url(address, self.spec.hub.port),
            spark_ui=f"http://{address}:{PORTS.spark_master_ui}",
            users=tuple(user.name for user in self.spec.hub.users),
            passwords=self.cluster_dir.passwords,
            authority=None if self.spec.hub.tls else self.cluster_dir.authority,
            job=job,
        )


def check_ours(cluster_dir: ClusterDir, seen: ObservedCluster) -> None:
    """Stop where the cloud holds a cluster that was made with another machine's keys."""
    own = cluster_dir.public_key()
    foreign = [key for key in seen.keys if key.public_key != own]
    if foreign or (seen.servers and not own):
        raise ProvisionError(
            f"cluster {cluster_dir.name} is on the cloud, but its keys are not in {cluster_dir.folder}",
            "It was made on another machine or by another user: copy that folder here, or remove the cluster with "
            "`provision down`, or give yours another name.",
        )


def refuse_losses(todo: Plan, *, replace: bool) -> None:
    """Refuse what would lose somebody's work unless it was asked for."""
    if todo.destructive and not replace:
        listed = "; ".join(f"{step.name}: {step.why}" for step in todo.destructive)
        raise UsageError(
            f"this would replace nodes, and what is on them would be lost: {listed}",
            "Nothing was changed. Run it with --replace to do so, or change the spec back.",
        )


def helpers_for(
    cloud: Cloud, spec: ClusterSpec, cluster_dir: ClusterDir, progress: Progress, *, timeout: float = TIMEOUT
) -> Helpers:
    """Wire the real helpers."""
    from provision.operations.cluster import prove
    from provision.operations.image import bake

    def readiness(address: str) -> ReadinessWait:
        return ReadinessWait(
            cloud,
            spec.name,
            progress,
            nodes=spec.workers.count + 1,
            spark=lambda: net.spark_master(address),
            hub=lambda: hub_says(spec, cluster_dir, address),
            timeout=timeout,
        )

    def works(address: str) -> bool:
        spark = net.spark_master(address)
        return (
            spark is not None and len(spark.workers) >= spec.workers.count and not hub_says(spec, cluster_dir, address)
        )

    return Helpers(
        image=lambda: bake.ensure_image(cloud, progress),
        readiness=readiness,
        configure=lambda apply, nodes: prove.configure(apply, nodes, progress),
        smoke_test=lambda apply, nodes: prove.smoke_test(apply, nodes, progress),
        works=works,
    )


def prepare(spec: ClusterSpec, progress: Progress) -> None:
    """Make sure that the cloud is there: the local one is ours to start."""
    if spec.cloud == LOCAL_CLOUD:
        from provision.operations.localcloud.local_cloud import local_cloud

        with progress.phase("Local cloud"):
            local_cloud().up(progress)
