"""What `up` would do, found without changing anything."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from provision.adapters.cluster_dir import ClusterDir
from provision.adapters.openstack.cloud import connect
from provision.base.constants import LOCAL_CLOUD
from provision.base.errors import ProvisionError
from provision.model.cluster.example import sizing
from provision.model.cluster.plan import DesiredState, Plan, spec_hash, wanted_rules
from provision.model.cluster.plan import plan as make_plan
from provision.model.cluster.resources import ObservedCluster
from provision.model.localcloud.flavors import FLAVORS
from provision.operations.cluster.resolve import GOLDEN, resolve, used_image
from provision.operations.cluster.up import check_ours

if TYPE_CHECKING:
    from provision.base.model import ClusterSpec


def plan(spec: ClusterSpec, source: str) -> Plan:
    """Plan for the cloud as it is; a `local` cloud that does not run yet holds nothing, and `up` starts it first."""
    try:
        cloud = connect(spec.cloud, source)
    except ProvisionError as error:
        if spec.cloud != LOCAL_CLOUD:
            raise
        return _before_the_cloud(spec, source, error)
    cluster_dir = ClusterDir(spec.name)
    seen = cloud.observe(spec.name)
    check_ours(cluster_dir, seen)
    found = resolve(cloud, spec, seen, source)
    if spec.image != GOLDEN:
        return make_plan(found.desired_state(cluster_dir.public_key()), seen)
    from provision.operations.image.bake import find_image

    image, used = find_image(cloud) or "", used_image(seen)
    todo = make_plan(found.desired_state(cluster_dir.public_key(), used or image), seen)
    if used and image not in ("", used):
        return replace(todo, notes=("a newer golden image is there: `up --replace` would move the nodes to it",))
    if used or image:
        return todo
    return replace(todo, notes=("the golden image is not on the cloud: `up` bakes and uploads it first",))


def _before_the_cloud(spec: ClusterSpec, source: str, error: ProvisionError) -> Plan:
    settings = spec_hash(spec, sizing(spec, source, FLAVORS))
    desired = DesiredState(
        name=spec.name,
        cidr=str(spec.network.cidr),
        external="",
        rules=wanted_rules(spec, spec.network.access or ()),
        image="",
        public_key="",
        master_flavor=spec.master.flavor,
        worker_flavor=spec.workers.flavor,
        count=spec.workers.count,
        spec=settings,
        source=source,
    )
    note = f"the local cloud does not answer ({error.message}): `up` starts it first"
    return replace(make_plan(desired, ObservedCluster()), notes=(note,))
