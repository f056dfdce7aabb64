"""`provision report`: gather what the cloud, the nodes and the spec say of a cluster, and write it as one HTML page."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from provision import __version__
from provision.adapters.onnode import boot
from provision.adapters.openstack.details import ServerTimes, image_name, server_times
from provision.adapters.remote import over_ssh
from provision.base.constants import NODE
from provision.model.view.report import PACKAGES, ReportInput, page
from provision.model.view.timeline import EVENTS, BootTimes
from provision.operations.cluster.nodes import find_live_cluster
from provision.operations.cluster.resolve import used_image
from provision.operations.cluster.status import status
from provision.operations.monitoring import last_hour

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provision.adapters.openstack.cloud import Cloud
    from provision.adapters.remote import Remote
    from provision.base.model import ClusterSpec, Node
    from provision.base.progress import Progress
    from provision.operations.cluster.nodes import LiveCluster
    from provision.operations.cluster.verify import VerifyReport

_AT_ONCE = 8
"""Nodes that are asked at the same time."""


def report(cloud: Cloud, spec: ClusterSpec, source: str, progress: Progress, checks: VerifyReport | None = None) -> str:
    """Return the page. A node that cannot be reached says so there. Raises ProvisionError when there is no cluster."""
    with progress.phase(f"Ask the cloud and the nodes of {spec.name}"):
        cluster = find_live_cluster(spec, source, cloud)
        observed = cloud.observe(spec.name, spec.workers.count)
        image = used_image(observed)
        given = ReportInput(
            spec=spec,
            status=status(cloud, spec, cluster.cluster_dir),
            observed=observed,
            flavors=cloud.flavors(),
            boots=_boots(cluster, server_times(cloud, spec.name), progress),
            cloud=cloud.place().auth_url,
            image=image_name(cloud, image) or image,
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            version=__version__,
            secrets=frozenset(cluster.cluster_dir.secret_values()),
            checks=checks.as_data() if checks else None,
            hour=last_hour(cluster) if spec.monitoring else None,
        )
    return page(given)


def _boots(cluster: LiveCluster, times: Mapping[str, ServerTimes], progress: Progress) -> list[BootTimes]:
    def ask(node: Node) -> BootTimes:
        progress.update(node.name, "asked how its boot went")
        told, problem = _ask(over_ssh(cluster.ssh_config, node.name), node)
        progress.update(node.name, problem or "has answered")
        known = times.get(node.id, ServerTimes("", ""))
        return BootTimes(node, known.created, known.launched, told, problem)

    # The node with the Hub first: the others' connections go through its own.
    first = ask(cluster.hub)
    others = [node for node in cluster.nodes if node != cluster.hub]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        asked = [first, *pool.map(ask, others)]
    return sorted(asked, key=lambda boot: cluster.nodes.index(boot.node))


def _ask(remote: Remote, node: Node) -> tuple[Mapping[str, Any] | None, str]:
    """Return what a node has told, or why it has told nothing."""
    if node.status not in ("", "ACTIVE"):
        return None, f"its server is {node.status}"
    order = {"events": EVENTS, "packages": PACKAGES, "venv": NODE.venv}
    with remote.start(boot, order) as piped:
        result = piped.finish()
    try:
        told: Mapping[str, Any] = json.loads(result.stdout)
    except ValueError:
        lines = result.stderr.strip().splitlines()
        return None, lines[-1] if lines else f"it ended with {result.code}"
    return told, ""
