"""A small Spark job, as the last question of `provision doctor --job`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.base.errors import ProvisionError
from provision.base.progress import Silent
from provision.model.finding import Finding
from provision.operations.cluster.nodes import find_live_cluster
from provision.operations.cluster.smoke_test import smoke_test

if TYPE_CHECKING:
    from provision.adapters.openstack.cloud import Cloud
    from provision.base.model import ClusterSpec


def run_job(cloud: Cloud, spec: ClusterSpec, source: str) -> list[Finding]:
    """Run the smoke test; return what is wrong if it does not pass."""
    try:
        smoke_test(find_live_cluster(spec, source, cloud), Silent())
    except ProvisionError as error:
        lines = tuple(error.detail.strip().splitlines()[-10:])
        do = error.hint or "Its last lines, below, say why."
        return [Finding("job", "a Spark job", error.message, do, lines)]
    return []
