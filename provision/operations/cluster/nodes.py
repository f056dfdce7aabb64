"""A live cluster seen as nodes: who they are, what they were given, and how to reach them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from provision.adapters import ssh
from provision.adapters.cluster_dir import ClusterDir
from provision.adapters.openstack.cloud import connect
from provision.base import paths
from provision.base.errors import ProvisionError
from provision.base.model import Addresses, Node
from provision.model.cluster import console
from provision.model.cluster.inventory import inventory
from provision.model.cluster.render import ROLES, public_context
from provision.operations.cluster.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from provision.adapters.openstack.cloud import Cloud
    from provision.base.model import ClusterSpec, Role
    from provision.model.cluster.resources import Server

UP_HINT: Final = "Make it with `provision up`; `provision status` shows what is there."


@dataclass(frozen=True, slots=True)
class Live:
    """A cluster's nodes (master first), and the variables that each role's templates were rendered with."""

    spec: ClusterSpec
    nodes: tuple[Node, ...]
    addresses: Addresses
    contexts: dict[Role, dict[str, Any]]
    cluster_dir: ClusterDir
    ssh_config: Path

    @property
    def master(self) -> Node:
        """The node that runs the Spark master and the Hub."""
        return self.of("master")[0]

    def of(self, role: Role) -> tuple[Node, ...]:
        """The nodes of one role."""
        return tuple(node for node in self.nodes if node.role == role)

    def fleet(self) -> ssh.Fleet:
        """Open the SSH door to them; to be closed by the caller."""
        return ssh.Fleet(self.cluster_dir.folder, self.nodes)

    def inventory(self) -> dict[str, Any]:
        """Return Ansible's inventory of them."""
        self.cluster_dir.ensure_secrets(self.spec, self.addresses)
        tls, folder = self.spec.hub.tls, self.cluster_dir.folder
        secrets = {
            "file": folder / "secrets.json",
            "hub_cert": tls.cert if tls else folder / "hub.pem",
            "hub_key": tls.key if tls else folder / "hub.key",
        }
        return inventory(
            self.nodes, self.contexts, ssh_config=self.ssh_config, templates=paths.TEMPLATES, secrets=secrets
        )


def look(spec: ClusterSpec, source: str, cloud: Cloud | None = None) -> Live:
    """Find the cluster's nodes on its cloud and write its ssh_config; `source` names the spec's file for errors.

    Raises ProvisionError when there is no cluster, or this machine has no key for it.
    """
    cloud = cloud or connect(spec.cloud, source)
    cluster_dir = ClusterDir(spec.name)
    seen = cloud.observe(spec.name)
    servers = [server for server in seen.nodes if server.address]
    if not any(server.role == "master" for server in servers) or not seen.master_port or not seen.floatings:
        raise ProvisionError(f"there is no cluster {spec.name} on cloud {spec.cloud!r}", UP_HINT)
    if not cluster_dir.private_key.exists():
        raise ProvisionError(
            f"this machine has no key for cluster {spec.name}: {cluster_dir.private_key} is missing",
            "Copy the folder from the machine that made the cluster.",
        )
    found = resolve(cloud, spec, seen, source)
    addresses = Addresses(seen.master_port.address, seen.floatings[0].address)
    nodes = tuple(host_nodes(cloud, cluster_dir, servers))
    return Live(
        spec=spec,
        nodes=nodes,
        addresses=addresses,
        contexts={role: public_context(spec, found.sizing, addresses, role) for role in ROLES},
        cluster_dir=cluster_dir,
        ssh_config=ssh.write_config(cluster_dir.folder, nodes, addresses.floating),
    )


def host_nodes(cloud: Cloud, cluster_dir: ClusterDir, servers: Sequence[Server]) -> list[Node]:
    """Make nodes of servers: host keys from known_hosts while it speaks of the same VM, else from the VM's console."""
    known = ssh.known(cluster_dir.folder)
    nodes = []
    for server in servers:
        kept = known.get(server.name)
        keys = kept.keys if kept and kept.id == server.id else console.host_keys(cloud.console(server.id))
        nodes.append(Node(server.name, server.role, server.address, server.id, server.status, keys))
    return nodes
