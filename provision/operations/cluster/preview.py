"""What `up` would do, found without changing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.adapters.cluster_dir import ClusterDir
from provision.adapters.openstack import images
from provision.adapters.openstack.cloud import connect
from provision.base.constants import LOCAL_CLOUD
from provision.base.errors import ProvisionError, UsageError
from provision.model.cluster.plan import made_from_another
from provision.model.cluster.plan import plan as make_plan
from provision.model.cluster.resources import ObservedCluster
from provision.model.cluster.sizing import size
from provision.model.cluster.steps import Plan, WaitingData
from provision.model.localcloud.settings import EXTERNAL_NETWORK, FLAVORS, Settings
from provision.operations.cluster.resolve import (
    ResolvedSpec,
    ask_ahead,
    check_ownership,
    check_quota,
    find_cluster_dir,
    fit_user_data,
    resolve,
    resolve_without_cloud,
    used_image,
)
from provision.operations.data.carry import waiting_data
from provision.operations.image import bake
from provision.operations.image.delivery import check_sources
from provision.operations.packages.resolution import kept_bundle

if TYPE_CHECKING:
    from provision.adapters.openstack.cloud import Cloud
    from provision.base.model import ClusterSpec

_OWN: Final = "What somebody has made there is known once it runs: `provision cloud up`."


def preview(spec: ClusterSpec, source: str) -> Plan:
    """Plan for the cloud as it is now. A `local` cloud that does not run is taken to be empty: `up` starts it first."""
    try:
        cloud = connect(spec.cloud, source)
    except ProvisionError as error:
        if spec.cloud != LOCAL_CLOUD:
            raise
        made = plan_stopped(spec, source)
        note = f"the local cloud does not answer ({error.message}): `up` starts it first"
        return _with_packages(made.with_note(note), spec, ClusterDir(spec.name))
    ask_ahead(cloud, spec)
    if spec.image.baked:
        cloud.ask_ahead(images.golden_images)
    cluster_dir = find_cluster_dir(cloud, spec.name)
    observed = cloud.observe(spec.name, spec.workers.count)
    check_ownership(cluster_dir, observed, cloud.place())
    resolved = resolve(cloud, spec, observed, source)
    made = _preview(resolved, cloud, observed, WaitingData(waiting_data(cluster_dir.folder)))
    if file := made_from_another(resolved.desired_state(), observed):
        made = made.with_note(f"the cluster was made from {file}, and this is {source}: `up` refuses it")
    if made:
        check_sources(spec, made)
        made = fit_user_data(resolved, made)
        made = made.with_note(_quota(cloud, resolved, made, observed))
    return _with_packages(made, spec, cluster_dir)


def plan_stopped(spec: ClusterSpec, source: str) -> Plan:
    """Plan a new cluster for the local cloud. Raises UsageError for what that cloud cannot fulfil."""
    _refuse(spec, source)
    resolved = resolve_without_cloud(spec, source, FLAVORS)
    made = make_plan(resolved.desired_state(), ObservedCluster())
    check_sources(spec, made)
    return fit_user_data(resolved, made)


def check_before_start(spec: ClusterSpec, source: str, *, new: bool) -> None:
    """Raise UsageError for what the local cloud cannot fulfil, unless it runs: then it is asked itself.

    `new`: there is no cluster yet, so that all of it is going to be made.
    """
    if spec.cloud != LOCAL_CLOUD:
        return
    try:
        if new:
            plan_stopped(spec, source)
        else:
            # Its flavors and networks may be the user's own, which a cloud that is stopped keeps.
            _refuse_range(spec, source)
    except UsageError:
        if not _runs(spec, source):
            raise


def _preview(resolved: ResolvedSpec, cloud: Cloud, observed: ObservedCluster, data: WaitingData) -> Plan:
    if not resolved.spec.image.baked:
        plan = make_plan(resolved.desired_state(), observed, data)
        makes = any(step.kind == "server" for step in plan.of("create"))
        note = "the new nodes install their software when they boot first, which takes some minutes more"
        return plan.with_note(note) if resolved.spec.image.stock and makes else plan
    image, used = bake.find_image(cloud), used_image(observed)
    plan = make_plan(resolved.desired_state(used or image), observed, data)
    if used and image not in ("", used):
        return plan.with_note("a newer golden image is on the cloud: `up --replace` would move the nodes to it")
    if used or image:
        return plan
    return plan.with_note("the golden image is not on the cloud: `up` bakes and uploads it first")


def _quota(cloud: Cloud, resolved: ResolvedSpec, plan: Plan, observed: ObservedCluster) -> str:
    try:
        return check_quota(cloud, resolved, plan, observed)
    except UsageError as error:
        return f"{error.message}: `up` refuses it"


def _with_packages(plan: Plan, spec: ClusterSpec, cluster_dir: ClusterDir) -> Plan:
    if not spec.packages or kept_bundle(spec.packages, cluster_dir):
        return plan
    return plan.with_note("the packages are not resolved yet: `up` does so before it changes anything")


def _runs(spec: ClusterSpec, source: str) -> bool:
    try:
        connect(spec.cloud, source)
    except ProvisionError:
        return False
    return True


def _refuse(spec: ClusterSpec, source: str) -> None:
    network, flavors = spec.network, {flavor.name: flavor for flavor in FLAVORS}
    try:
        size(spec, flavors, source)
    except UsageError as error:
        foreign = any(name not in flavors for _, name in spec.flavors)
        raise UsageError(error.message, f"{error.hint} {_OWN}" if foreign else error.hint) from None
    if network.existing:
        return
    _refuse_range(spec, source)
    if not network.router and network.external != EXTERNAL_NETWORK:
        raise UsageError(
            f"{source}: network.external: cloud {spec.cloud!r} has no external network {network.external!r}",
            f"It has: {EXTERNAL_NETWORK}. {_OWN}",
        )


def _refuse_range(spec: ClusterSpec, source: str) -> None:
    network, own = spec.network, Settings().provider
    if not network.existing and network.cidr.overlaps(own):
        raise UsageError(
            f"{source}: network.cidr: {network.cidr} overlaps {own} of external network {EXTERNAL_NETWORK!r}: nodes "
            "could not reach it",
            "Choose another range for the cluster.",
        )
