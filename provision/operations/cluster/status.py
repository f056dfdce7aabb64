"""A cluster as the cloud, Spark and the Hub see it now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provision.adapters import net
from provision.base.constants import PORTS

if TYPE_CHECKING:
    from provision.adapters.cluster_dir import ClusterDir
    from provision.adapters.openstack.cloud import Cloud
    from provision.base.model import ClusterSpec


def hub_url(address: str, port: int) -> str:
    """Write the address that people type."""
    return f"https://{address}" if port == 443 else f"https://{address}:{port}"


def hub_says(spec: ClusterSpec, cluster_dir: ClusterDir, address: str) -> str:
    """Ask the Hub by the certificate that it must have; return why it is not well, empty when it is."""
    own = spec.hub.tls
    return net.hub_answers(address, spec.hub.port, own.cert if own else cluster_dir.authority, authority=own is None)


def status(cloud: Cloud, spec: ClusterSpec, cluster_dir: ClusterDir) -> dict[str, Any]:
    """Return the cluster's state as `status --json` prints it; `working` says whether all of it works."""
    seen = cloud.observe(spec.name)
    address = next((floating.address for floating in seen.floatings), "")
    spark = net.spark_master(address) if address else None
    hub = hub_says(spec, cluster_dir, address) if address else "there is no floating IP"
    registered = set(spark.workers) if spark else set()
    nodes = [
        {
            "name": server.name,
            "role": server.role,
            "status": "DELETING" if server.deleting else server.status,
            "address": server.address,
            "flavor": server.flavor,
            "registered": None if server.role == "master" else server.address in registered,
        }
        for server in seen.nodes
    ]
    working = (
        not hub
        and len([node for node in nodes if node["role"] == "worker"]) == spec.workers.count
        and all(node["status"] == "ACTIVE" and node["registered"] is not False for node in nodes)
    )
    return {
        "cluster": spec.name,
        "cloud": spec.cloud,
        "exists": bool(seen),
        "working": working,
        "hub": {"url": hub_url(address, spec.hub.port) if address else None, "well": not hub, "problem": hub or None},
        "spark": {
            "ui": f"http://{address}:{PORTS.spark_master_ui}" if address else None,
            "answers": spark is not None,
            "workers_alive": len(registered),
            "workers_wanted": spec.workers.count,
            "cores": spark.cores if spark else 0,
            "memory_mib": spark.memory if spark else 0,
            "applications": spark.applications if spark else 0,
        },
        "nodes": nodes,
        "resources": [{"kind": kind, "name": name} for kind, name in seen.listed()],
    }
