"""Make a cluster, or what is missing of it: survey, plan, show, apply, wait, prove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from provision.adapters import net
from provision.adapters.openstack.cloud import TransientError
from provision.base.constants import LOCAL_CLOUD, PORTS
from provision.base.errors import ProvisionError, UsageError
from provision.model.cluster import resources as its
from provision.model.cluster.plan import plan as make_plan
from provision.operations.cluster.apply import Apply
from provision.operations.cluster.resolve import GOLDEN, Survey, check_room, survey, used_image
from provision.operations.cluster.status import hub_says, hub_url
from provision.operations.cluster.wait import TIMEOUT, Forming, UnbuiltError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from provision.adapters.cluster_dir import Keeper
    from provision.adapters.openstack.cloud import Cloud
    from provision.base.model import ClusterSpec, Node
    from provision.base.progress import Progress
    from provision.model.cluster.plan import Plan, Step, Wanted
    from provision.model.cluster.resources import Observed

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
    forming: Callable[[str], Forming]
    """Makes the watch over the cluster behind a floating IP."""
    configure: Callable[[Apply, tuple[Node, ...]], None]
    """Converges live nodes to the spec."""
    prove: Callable[[Apply, tuple[Node, ...]], str]
    """Runs a real job and returns what it said; raises ProvisionError when it fails."""
    works: Callable[[str], bool]
    """Whether the cluster behind a floating IP works, in one quick look."""


class Up:
    """One run of `up` on one cluster."""

    def __init__(
        self, cloud: Cloud, keeper: Keeper, progress: Progress, *, spec: ClusterSpec, source: str, helpers: Helpers
    ) -> None:
        self.cloud = cloud
        self.keeper = keeper
        self.progress = progress
        self.spec = spec
        self.source = source
        self.helpers = helpers

    def run(self, agree: Callable[[Plan], None], *, replace: bool = False) -> Summary:
        """Make the cloud hold a working cluster; `agree` is shown the plan before any change, and raises to stop it."""
        with self.keeper.locked():
            seen, found = self.look(replace=replace)
            image = self.image(seen, replace=replace)
            wanted = found.wanted(self.keeper.public_key(), image, refresh=replace)
            todo = make_plan(wanted, seen)
            if not todo and self.already_works(seen, wanted):
                return self.summary(seen.floatings[0].address, changed=False)
            refuse_losses(todo, replace=replace)
            agree(todo)
            apply = Apply(self.cloud, self.keeper, self.progress, found=found, wanted=wanted, seen=seen)
            if todo:
                with self.progress.phase("Make what is missing"):
                    apply = self.apply(apply, todo, replace=replace)
            with self.progress.phase("Wait for the cluster to form"):
                apply, nodes = self.form(apply, replace=replace)
            self.configure(apply, nodes, [step for step in todo.steps if step.verb == "configure"])
            with self.progress.phase("Run a job on every worker"):
                said = self.prove(apply, nodes)
            return self.summary(apply.addresses.floating, changed=True, job=said)

    def look(self, *, replace: bool) -> tuple[Observed, Survey]:
        """Check all that can be checked before anything is changed."""
        with self.progress.phase("Look at the cloud"):
            seen = self.cloud.observe(self.spec.name)
            check_ours(self.keeper, seen)
            found = survey(self.cloud, self.spec, seen, self.source)
            todo = make_plan(found.wanted(self.keeper.public_key()), seen)
            refuse_losses(todo, replace=replace)
            if todo:
                check_room(self.cloud, found, todo)
        return seen, found

    def image(self, seen: Observed, *, replace: bool) -> str:
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
            return apply, self.helpers.forming(apply.addresses.floating).run()
        except UnbuiltError as error:
            self.progress.note(f"{error.message}; making it again")
        apply, todo = self.again(apply, replace=replace)
        apply = self.apply(apply, todo, replace=replace)
        return apply, self.helpers.forming(apply.addresses.floating).run()

    def again(self, apply: Apply, *, replace: bool) -> tuple[Apply, Plan]:
        """Look at the cloud again and plan the steps that are left."""
        seen = self.cloud.observe(self.spec.name)
        todo = make_plan(apply.wanted, seen)
        refuse_losses(todo, replace=replace)
        left = Apply(self.cloud, self.keeper, self.progress, found=apply.found, wanted=apply.wanted, seen=seen)
        return left, todo

    def already_works(self, seen: Observed, wanted: Wanted) -> bool:
        """Whether a real job has run on just this, and it still answers."""
        proved = any(server.role == "master" and server.proved == wanted.spec for server in seen.nodes)
        return proved and self.helpers.works(seen.floatings[0].address)

    def configure(self, apply: Apply, nodes: tuple[Node, ...], steps: list[Step]) -> None:
        """Converge the nodes whose settings are older than the spec, and note that on them."""
        if not steps:
            return
        with self.progress.phase("Bring live nodes to the spec"):
            self.helpers.configure(apply, nodes)
            masters = {node.id for node in nodes if node.role == "master"}
            for step in steps:
                metadata = {its.META_SPEC: apply.wanted.spec}
                if step.ids[0] in masters:
                    metadata[its.META_FLOATING] = apply.addresses.floating
                self.cloud.set_metadata(step.ids[0], **metadata)

    def prove(self, apply: Apply, nodes: tuple[Node, ...]) -> str:
        """Run a real job, and note on the master that it ran."""
        said = self.helpers.prove(apply, nodes)
        master = next(node for node in nodes if node.role == "master")
        self.cloud.set_metadata(master.id, **{its.META_PROVED: apply.wanted.spec})
        return said

    def summary(self, address: str, *, changed: bool, job: str = "") -> Summary:
        """Say where everything is."""
        return Summary(
            changed=changed,
            hub_url=hub_url(address, self.spec.hub.port),
            spark_ui=f"http://{address}:{PORTS.spark_master_ui}",
            users=tuple(user.name for user in self.spec.hub.users),
            passwords=self.keeper.passwords,
            authority=None if self.spec.hub.tls else self.keeper.authority,
            job=job,
        )


def check_ours(keeper: Keeper, seen: Observed) -> None:
    """Stop where the cloud holds a cluster that was made with another machine's keys."""
    own = keeper.public_key()
    foreign = [key for key in seen.keys if key.public_key != own]
    if foreign or (seen.servers and not own):
        raise ProvisionError(
            f"cluster {keeper.name} is on the cloud, but its keys are not in {keeper.folder}",
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
    cloud: Cloud, spec: ClusterSpec, keeper: Keeper, progress: Progress, *, timeout: float = TIMEOUT
) -> Helpers:
    """Wire the real helpers."""
    from provision.operations.cluster import prove
    from provision.operations.image import bake

    def forming(address: str) -> Forming:
        return Forming(
            cloud,
            spec.name,
            progress,
            nodes=spec.workers.count + 1,
            spark=lambda: net.spark_master(address),
            hub=lambda: hub_says(spec, keeper, address),
            timeout=timeout,
        )

    def works(address: str) -> bool:
        spark = net.spark_master(address)
        return spark is not None and len(spark.workers) >= spec.workers.count and not hub_says(spec, keeper, address)

    return Helpers(
        image=lambda: bake.ensure_image(cloud.connection, progress),
        forming=forming,
        configure=lambda apply, nodes: prove.configure(apply, nodes, progress),
        prove=lambda apply, nodes: prove.prove(apply, nodes, progress),
        works=works,
    )


def prepare(spec: ClusterSpec, progress: Progress) -> None:
    """Make sure that the cloud is there: the local one is ours to start."""
    if spec.cloud == LOCAL_CLOUD:
        from provision.operations.localcloud.single.up import ensure_stack

        with progress.phase("Local cloud"):
            ensure_stack(progress)
