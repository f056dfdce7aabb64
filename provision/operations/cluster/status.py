"""The state of a cluster, as its cloud, the Spark master and the Hub report it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from provision.adapters import net
from provision.adapters.host.certificates import signed_by, valid_until
from provision.adapters.hub import hub_answers_over_ssh
from provision.adapters.ssh import CONFIG
from provision.base.constants import SPARK_PAGES
from provision.base.threads import start
from provision.model.cluster.render import hub_url
from provision.model.cluster.resources import hub_name, master_name
from provision.operations.cluster.nodes import ask_spark, ask_spark_early, with_host_keys

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from provision.adapters.cluster_dir import ClusterDir
    from provision.adapters.openstack.cloud import Cloud
    from provision.adapters.spark import SparkMaster
    from provision.base.model import ClusterSpec, Node

NO_KEY: Final = "it is asked over SSH, and this machine has no key for the cluster"


def hub_problem(spec: ClusterSpec, cluster_dir: ClusterDir, address: str, *, expired: bool = False) -> str:
    """Return why the Hub does not answer with its own certificate; empty when it does.

    `expired`: one of our own counts although its time is over, as for an `up` that is about to renew it.
    """
    own = spec.hub.tls
    certificate = own.cert if own else cluster_dir.authority

    def is_ours(served: bytes) -> bool:
        return signed_by(served, cluster_dir.authority.read_text())

    accepts_expired = is_ours if expired and not own else None
    if spec.network.bastion:
        return hub_answers_over_ssh(
            cluster_dir.folder / CONFIG,
            hub_name(spec.name) if spec.hub.node else master_name(spec.name),
            (address, spec.hub.port),
            certificate,
            authority=own is None,
            accepts_expired=accepts_expired,
        )
    return net.hub_answers(address, spec.hub.port, certificate, authority=own is None, accepts_expired=accepts_expired)


class AskedServices:
    """The Spark master and the Hub of a cluster, asked at the same time, and at once where they were last."""

    def __init__(self, spec: ClusterSpec, cluster_dir: ClusterDir) -> None:
        """Ask, if an earlier command on this machine has left where they are."""
        self._spec = spec
        self._dir = cluster_dir
        self._spark = ask_spark_early(cluster_dir)
        self._hub = self._ask_hub(self._spark.floating) if self._spark else None

    def answers(self, nodes: Sequence[Node], address: str) -> tuple[SparkMaster | None, str]:
        """Return what the Spark master says, and what is wrong with the Hub; `address` is their floating IP."""
        early = self._spark if self._spark and self._spark.floating == address else None
        hub = self._hub if early and self._hub else self._ask_hub(address)
        bastion = self._spec.network.bastion
        spark = ask_spark(self._dir, nodes, address, early, bastion=bastion) if nodes else None
        return spark, hub.result()

    def _ask_hub(self, address: str) -> Future[str]:
        return start(lambda: hub_problem(self._spec, self._dir, address))


def status(cloud: Cloud, spec: ClusterSpec, cluster_dir: ClusterDir) -> dict[str, Any]:
    """Return the state as `status --json` prints it. `working`: the Hub answers, and every worker is registered."""
    services = AskedServices(spec, cluster_dir)
    observed = cloud.observe(spec.name, spec.workers.count)
    address = observed.address
    has_key = cluster_dir.private_key.exists()
    reachable = [server for server in observed.nodes if server.address] if address and has_key else []
    spark, problem = None, "there is no floating IP"
    if address:
        spark, problem = services.answers(with_host_keys(cloud, cluster_dir, reachable), address)
    ends = observed.hub_server.certificate if observed.hub_server else ""
    nodes = [
        {
            "name": server.name,
            "role": server.role,
            "status": "DELETING" if server.deleting else server.status,
            "address": server.address,
            "flavor": server.flavor,
            # None, too, where nobody could be asked.
            "registered": server.address in spark.workers if spark and server.role == "worker" else None,
        }
        for server in observed.nodes
    ]
    working = (
        not problem
        and spark is not None
        and len([node for node in nodes if node["role"] == "worker"]) == spec.workers.count
        and set(spec.roles) <= {str(node["role"]) for node in nodes}
        and all(node["status"] == "ACTIVE" and node["registered"] is not False for node in nodes)
    )
    return {
        "cluster": spec.name,
        "cloud": spec.cloud,
        "exists": bool(observed),
        "working": working,
        "hub": {
            "url": hub_url(address, spec.hub.port) if address else None,
            "well": not problem,
            "problem": problem or None,
            "certificate_ends": ends or None,
            "certificate_ends_soon": bool(ends) and ends < valid_until(),
        },
        "spark": {
            "ui": f"{hub_url(address, spec.hub.port)}{SPARK_PAGES}" if address else None,
            "answers": spark is not None,
            "problem": None if spark else "it does not answer" if has_key else NO_KEY,
            "workers_alive": len(set(spark.workers)) if spark else 0,
            "workers_wanted": spec.workers.count,
            "cores": spark.cores if spark else 0,
            "memory_mib": spark.memory if spark else 0,
            "applications": spark.applications if spark else 0,
        },
        "nodes": nodes,
        "resources": [{"kind": kind, "name": name} for kind, name in observed.listed()],
    }
