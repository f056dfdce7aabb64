"""Create a cluster, or what is missing of it: check, plan, show the plan, apply it, wait, configure, run a real job."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from provision.adapters.host.load import MachineLoad
from provision.adapters.openstack.cloud import AT_ONCE
from provision.base.constants import LOCAL_CLOUD, SPARK_PAGES
from provision.base.threads import each, start
from provision.model.cluster import resources
from provision.model.cluster.plan import made_from_another
from provision.model.cluster.plan import plan as make_plan
from provision.model.cluster.render import hub_url, login_words
from provision.model.cluster.steps import WaitingData, refuse_losses
from provision.model.monitoring.cluster.jobs import targets_hash
from provision.operations.cluster.ansible import PlaybookError, configure
from provision.operations.cluster.apply import Apply, apply_all, hub_metadata, made_from
from provision.operations.cluster.nodes import ask_spark, known_host_keys, make_live_cluster, with_host_keys
from provision.operations.cluster.resolve import (
    ResolvedSpec,
    ask_ahead,
    check_ownership,
    check_quota,
    fit_user_data,
    made_from_another_error,
    resolve,
    used_image,
)
from provision.operations.cluster.smoke_test import smoke_test
from provision.operations.cluster.status import AskedServices, hub_problem
from provision.operations.cluster.wait import TIMEOUT, ReadinessWait, UnbuiltError, nothing, unheard
from provision.operations.data.carry import CarriedData
from provision.operations.image.delivery import SoftwareDelivery, check_sources
from provision.operations.monitoring import refresh_targets
from provision.operations.packages.delivery import deliver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from provision.adapters.cluster_dir import ClusterDir
    from provision.adapters.openstack.cloud import Cloud
    from provision.base.model import ClusterSpec, Node
    from provision.base.progress import Progress
    from provision.model.cluster.resources import ObservedCluster
    from provision.model.cluster.steps import DesiredState, Plan, Step
    from provision.operations.cluster.nodes import LiveCluster
    from provision.operations.data.carry import DataDoor
    from provision.operations.image.beside import BakeBeside


REBUILDS: Final = 3
"""How often VMs are created again that the cloud could not build."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the user is told at the end."""

    changed: bool
    """Whether anything was done."""
    hub_url: str
    spark_ui: str
    users: tuple[str, ...]
    passwords: Path
    """The file of first passwords."""
    authority: Path | None
    """The certificate to trust; None if the user brought a certificate of their own."""
    job: str = ""
    """The smoke test's result in one line; empty if it was not run."""
    login: str = ""
    """Where people log in instead of with the first passwords, as a sentence's end; empty for PAM."""


@dataclass(frozen=True, slots=True)
class Helpers:
    """The parts of `up` that take minutes and need more than the cloud's API; unit tests replace them."""

    find_image: Callable[[], str]
    """Returns the id of the golden image on the cloud; where there is none it begins to bake it: then empty."""
    make_image: Callable[[], str]
    """Bakes and uploads the golden image; returns its id."""
    readiness: Callable[[str, Callable[[Sequence[Node]], object]], ReadinessWait]
    """Makes the wait for the cluster whose Hub is at an address, which tells when Spark works."""
    configure: Callable[[LiveCluster, Sequence[str]], object]
    """Brings live nodes to the spec: those with these names, or all if there are none."""
    deliver: Callable[[LiveCluster], object]
    """Brings the spec's packages to all nodes."""
    refresh_targets: Callable[[LiveCluster], object]
    """Tells monitoring which nodes there are."""
    smoke_test: Callable[[LiveCluster], str]
    """Runs a real job and describes its result in one line; raises ProvisionError when it fails."""
    works: Callable[[ObservedCluster], bool]
    """Whether a cluster works, checked once."""
    data: DataDoor
    """Carries people's data over to a new master."""


class Up:
    """One run of `up` for one cluster."""

    spec: ClusterSpec
    source: str
    """The spec's file, as errors name it."""
    helpers: Helpers

    def __init__(
        self,
        cloud: Cloud,
        cluster_dir: ClusterDir,
        progress: Progress,
        *,
        spec: ClusterSpec,
        source: str,
        helpers: Helpers,
        without_data: bool = False,
        remove: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`remove`: workers and users that the spec does not name may go.

        `without_data`: a master may be replaced although its data cannot be carried over, or is not wanted.
        """
        self.cloud = cloud
        self.cluster_dir = cluster_dir
        self.progress = progress
        self.spec = spec
        self.source = source
        self.helpers = helpers
        self.without_data = without_data
        self.remove = remove
        self._sleep = sleep
        self._carried: set[str] = set()
        """Servers whose data this run has taken."""
        self._job: Future[str] | None = None
        """What was begun beside the start of the Hub."""

    def run(self, confirm: Callable[[Plan], None], *, replace: bool = False) -> Summary:
        """Bring the cluster to the spec; `confirm` shows the plan before any change, and raises to stop it."""
        with self.cluster_dir.locked():
            observed, resolved, takes = self.check(replace=replace)
            image = self.find_image(observed, replace=replace)
            desired = resolved.desired_state(image, refresh=replace)
            plan = self.plan(resolved, desired, observed)
            stays = self.node_that_stays(plan, observed)
            if not plan and not stays and self.already_works(observed, desired):
                return self.summary(observed.address, changed=False)
            refuse_losses(plan, replace=replace, remove=self.remove, without_data=self.without_data)
            confirm(plan.with_note(takes))
            # Whose it is can be told from now on, whatever interrupts this.
            self.cluster_dir.claim(self.cloud.place())
            self.cluster_dir.ensure_key()
            apply = self.make_apply(resolved, desired, observed)
            if stays:
                self.resume(apply, stays)
            self.carry(apply, plan)
            if self.spec.image.baked and not image:
                apply, plan = self.make_image_beside(apply, plan)
            if plan:
                with self.progress.phase("Create what is missing"):
                    apply = self.apply(apply, plan, replace=replace)
            with self.progress.phase("Wait until the cluster is ready"):
                apply, nodes = self.wait(apply, plan, replace=replace)
            cluster = make_live_cluster(resolved, self.cluster_dir, nodes, apply.addresses)
            self.configure(cluster, desired, list(plan.of("configure")))
            self.refresh_targets(cluster)
            self.deliver(cluster, desired, plan, observed)
            self.restore(cluster)
            with self.progress.phase("Run a job on every worker"):
                job = self.smoke_test(cluster, desired)
            return self.summary(cluster.addresses.floating, changed=True, job=job)

    def check(self, *, replace: bool) -> tuple[ObservedCluster, ResolvedSpec, str]:
        """Check everything that can be checked before anything is changed; say what it takes of the quotas."""
        takes = ""
        with self.progress.phase("Check the spec against the cloud"):
            ask_ahead(self.cloud, self.spec)
            observed = self.cloud.observe(self.spec.name, self.spec.workers.count)
            check_ownership(self.cluster_dir, observed, self.cloud.place())
            resolved = resolve(self.cloud, self.spec, observed, self.source)
            desired = resolved.desired_state()
            plan = self.plan(resolved, desired, observed)
            if plan and (made := made_from_another(desired, observed)):
                raise made_from_another_error(self.spec.name, made)
            refuse_losses(plan, replace=replace, remove=self.remove, without_data=self.without_data)
            if plan:
                check_sources(self.spec, plan)
                takes = check_quota(self.cloud, resolved, plan, observed)
        return observed, resolved, takes

    def find_image(self, observed: ObservedCluster, *, replace: bool) -> str:
        """Return the golden image's id; empty if the spec names another image.

        Empty, too, while it is baked for a new cluster, of which the servers alone depend on it: make_image_beside. A
        cluster keeps the image that it was created from: a newer one comes in with `--replace` only.
        """
        if not self.spec.image.baked:
            return ""
        if not replace and (used := used_image(observed)):
            return used
        return self.helpers.find_image() or (self.make_image() if observed.servers else "")

    def make_image(self) -> str:
        """Return the golden image's id, baked and uploaded."""
        with self.progress.phase("Golden image"):
            return self.helpers.make_image()

    def make_image_beside(self, apply: Apply, plan: Plan) -> tuple[Apply, Plan]:
        """Create what needs no image while that is baked; return what is left of the plan when it is there."""
        early, rest = plan.before_image()
        with self.progress.phase("Create the network"):
            apply = self.apply(apply, early, replace=False, early=True)
        apply.desired = replace(apply.desired, image=self.make_image())
        return apply, rest

    def make_apply(self, resolved: ResolvedSpec, desired: DesiredState, observed: ObservedCluster) -> Apply:
        """Start from what the cloud holds now."""
        return Apply(
            self.cloud,
            self.cluster_dir,
            self.progress,
            resolved=resolved,
            desired=desired,
            observed=observed,
            sleep=self._sleep,
        )

    def apply(self, apply: Apply, plan: Plan, *, replace: bool, early: bool = False) -> Apply:
        """Apply the plan; when the cloud fails to answer, look again, and apply what is left.

        `early`: of that, what needs no image.
        """

        def again(last: Apply) -> tuple[Apply, Plan]:
            new, left = self.plan_again(last, replace=replace)
            return new, left.before_image()[0] if early else left

        return apply_all(apply, plan, again, self.progress, sleep=self._sleep)

    def wait(self, apply: Apply, plan: Plan, *, replace: bool) -> tuple[Apply, tuple[Node, ...]]:
        """Wait until the nodes are ready. Where the plan has nothing to do on them then, the job begins before the Hub.

        VMs that the cloud could not build are created again, up to REBUILDS times, while there are fewer each time.
        """
        left, fewest = REBUILDS, math.inf
        waits = plan.of("configure") or self.has_packages(apply.desired, plan) or self.helpers.data.waiting()
        while True:
            begin = unheard if waits else partial(self.begin_job, apply)
            try:
                return apply, self.helpers.readiness(apply.addresses.floating, begin).run()
            except UnbuiltError as error:
                if not left or error.count >= fewest:
                    raise
                left, fewest = left - 1, error.count
                self.progress.note(f"{error.message}; creating {'it' if error.count == 1 else 'them'} again")
            apply, plan = self.plan_again(apply, replace=replace)
            apply = self.apply(apply, plan, replace=replace)

    def plan_again(self, apply: Apply, *, replace: bool) -> tuple[Apply, Plan]:
        """Look at the cloud again, and plan the steps that are left."""
        observed = self.cloud.observe(self.spec.name, self.spec.workers.count)
        plan = self.plan(apply.resolved, apply.desired, observed)
        refuse_losses(plan, replace=replace, remove=self.remove, without_data=self.without_data)
        apply = self.make_apply(apply.resolved, apply.desired, observed)
        self.carry(apply, plan)
        return apply, plan

    def plan(self, resolved: ResolvedSpec, desired: DesiredState, observed: ObservedCluster) -> Plan:
        """Plan, with what waits on this machine to be restored, and the accounts that user-data has no room for."""
        data = WaitingData(self.helpers.data.waiting(), self.without_data)
        return fit_user_data(resolved, make_plan(desired, observed, data))

    def node_that_stays(self, plan: Plan, observed: ObservedCluster) -> str:
        """Return the id of a node whose data an earlier run has taken, and that is not replaced now; else nothing."""
        deleted = {server for step in plan.of("delete") for server in step.ids}
        with_data = {server.id for server in observed.nodes if server.role == observed.hub_role} - deleted
        return next((server for server in self.helpers.data.waiting() if server in with_data), "")

    def carry(self, apply: Apply, plan: Plan) -> None:
        """Take the data of a node that the plan deletes, before anything is deleted."""
        if any(step.ids[0] not in self._carried for step in plan.of("carry")):
            with self.progress.phase("Carry people's data over"):
                self.helpers.data.carry(self.present_cluster(apply))
            self._carried.update(step.ids[0] for step in plan.of("carry"))

    def resume(self, apply: Apply, node: str) -> None:
        """Start the Hub that an earlier run has stopped, and forget the data that it has taken."""
        if any(server.id == node and server.status == "ACTIVE" for server in apply.observed.nodes):
            self.helpers.data.resume(self.present_cluster(apply))
        else:
            self.helpers.data.discard(node)

    def restore(self, cluster: LiveCluster) -> None:
        """Put the data of nodes with the Hub that were replaced onto the present one."""
        waiting = [server for server in self.helpers.data.waiting() if server != cluster.hub.id]
        if waiting:
            with self.progress.phase("Restore people's data"):
                self.helpers.data.restore(cluster, waiting)

    def present_cluster(self, apply: Apply) -> LiveCluster:
        """Return the cluster as it is before the plan is applied."""
        servers = [server for server in apply.observed.nodes if server.address]
        nodes = with_host_keys(self.cloud, self.cluster_dir, servers, self.progress)
        return make_live_cluster(apply.resolved, self.cluster_dir, nodes, apply.addresses)

    def already_works(self, observed: ObservedCluster, desired: DesiredState) -> bool:
        """Whether the smoke test passed with this very spec, and the cluster still answers."""
        hub = observed.hub_server
        if hub is None or hub.smoke_tested != desired.tested:
            return False
        if self.spec.monitoring and hub.monitored != targets_hash(observed.nodes):
            return False
        return self.helpers.works(observed)

    def configure(self, cluster: LiveCluster, desired: DesiredState, steps: list[Step]) -> None:
        """Configure the nodes whose settings are older than the spec, and note that in their metadata."""
        if not steps:
            return
        metadata = {step.name: {resources.META_SPEC: desired.spec} for step in steps}
        if cluster.hub.name in metadata:
            secrets = cluster.cluster_dir.ensure_secrets(cluster.spec, cluster.addresses)
            metadata[cluster.hub.name] |= hub_metadata(desired, cluster.addresses, secrets)
        # New nodes lack accounts alone. Of live ones others may depend on what has changed: on the Hub's address, say.
        only = [*metadata] if all(step.ids == (step.name,) for step in steps) else []
        with self.progress.phase("Configure live nodes"):
            self.work_on(cluster, lambda: self.helpers.configure(cluster, only), metadata)

    def work_on(
        self, cluster: LiveCluster, work: Callable[[], object], metadata: Mapping[str, Mapping[str, str]]
    ) -> None:
        """Do some work on nodes, and note what they have then: `metadata`, by their names.

        Where it fails on some, it is noted of the others all the same.
        """
        ids = {node.name: node.id for node in cluster.nodes}

        def note(names: Iterable[str]) -> None:
            each(lambda name: self.cloud.set_metadata(ids[name], **metadata[name]), names, at_once=AT_ONCE)

        try:
            work()
        except PlaybookError as error:
            note(name for name in metadata if name in error.clean)
            raise
        note(metadata)

    def refresh_targets(self, cluster: LiveCluster) -> None:
        """Tell monitoring which nodes there are, where it is on, and note that in the metadata."""
        if self.spec.monitoring:
            self.helpers.refresh_targets(cluster)
            self.cloud.set_metadata(cluster.hub.id, **{resources.META_MONITORED: targets_hash(cluster.nodes)})

    def deliver(self, cluster: LiveCluster, desired: DesiredState, plan: Plan, observed: ObservedCluster) -> None:
        """Bring the packages to new nodes, and to those that have others; note that in their metadata."""
        if not self.has_packages(desired, plan):
            return
        with self.progress.phase("Bring the packages to the nodes"):
            noted = {server.id for server in observed.nodes if server.packages == desired.packages}
            new = [node.name for node in cluster.nodes if node.id not in noted]
            metadata = {name: {resources.META_PACKAGES: desired.packages} for name in new}
            self.work_on(cluster, lambda: self.helpers.deliver(cluster), metadata)

    def has_packages(self, desired: DesiredState, plan: Plan) -> bool:
        """Whether packages have to be brought to nodes, or taken away."""
        return bool(desired.packages) or any(step.verb == "install" for step in plan.steps)

    def begin_job(self, apply: Apply, nodes: Sequence[Node]) -> None:
        """Begin the job, beside the start of the Hub."""
        cluster = make_live_cluster(apply.resolved, self.cluster_dir, nodes, apply.addresses)
        self._job = start(lambda: self.helpers.smoke_test(cluster))

    def smoke_test(self, cluster: LiveCluster, desired: DesiredState) -> str:
        """Run a real job, or wait for the one that has begun; note in the metadata of the Hub's node that it passed."""
        job = self._job.result() if self._job else self.helpers.smoke_test(cluster)
        metadata = {resources.META_SMOKE_TESTED: desired.tested, **made_from(desired)}
        self.cloud.set_metadata(cluster.hub.id, **metadata)
        return job

    def summary(self, address: str, *, changed: bool, job: str = "") -> Summary:
        """Collect what the user is told at the end."""
        return Summary(
            changed=changed,
            hub_url=hub_url(address, self.spec.hub.port),
            spark_ui=f"{hub_url(address, self.spec.hub.port)}{SPARK_PAGES}",
            users=tuple(user.name for user in self.spec.hub.users),
            passwords=self.cluster_dir.passwords,
            authority=None if self.spec.hub.tls else self.cluster_dir.authority,
            job=job,
            login=login_words(self.spec.hub, hub_url(address, self.spec.hub.port)),
        )


def helpers_for(
    cloud: Cloud,
    spec: ClusterSpec,
    cluster_dir: ClusterDir,
    progress: Progress,
    *,
    baking: BakeBeside,
    timeout: float = TIMEOUT,
) -> Helpers:
    """Make the helpers of a real run; `timeout` limits the wait for the nodes, in seconds.

    `baking`: the bake that may have begun.
    """
    services = AskedServices(spec, cluster_dir)

    def readiness(address: str, spark_works: Callable[[Sequence[Node]], object]) -> ReadinessWait:
        return ReadinessWait(
            cloud,
            spec.name,
            progress,
            nodes=spec.workers.count + len(spec.roles) - 1,
            spark=lambda nodes: ask_spark(cluster_dir, nodes, address, bastion=spec.network.bastion),
            hub_problem=lambda: hub_problem(spec, cluster_dir, address, expired=True),
            bring=SoftwareDelivery(spec, cluster_dir, address).bring if spec.image.stock else nothing,
            spark_works=spark_works,
            timeout=timeout,
            slowness=MachineLoad().describe if spec.cloud == LOCAL_CLOUD else str,
            spread=spec.workers.spread,
            host_keys=known_host_keys(cluster_dir),
        )

    def works(observed: ObservedCluster) -> bool:
        address = observed.address
        servers = [server for server in observed.nodes if server.address]
        spark, problem = services.answers(with_host_keys(cloud, cluster_dir, servers), address)
        return spark is not None and len(spark.workers) >= spec.workers.count and not problem

    return Helpers(
        find_image=lambda: baking.find(cloud, spec),
        make_image=lambda: baking.finish(cloud),
        readiness=readiness,
        configure=lambda cluster, names: configure(cluster, progress, names),
        deliver=lambda cluster: deliver(cluster, progress),
        refresh_targets=refresh_targets,
        smoke_test=lambda cluster: smoke_test(cluster, progress),
        works=works,
        data=CarriedData(cluster_dir.folder, progress),
    )
