"""A live cluster: its nodes, the settings that they were given, and how to reach them."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from provision.adapters import ssh
from provision.adapters.openstack.cloud import AT_ONCE, TransientError, connect
from provision.adapters.spark import ask_master
from provision.base import paths
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import Addresses, Node
from provision.base.progress import Silent
from provision.base.roles import with_hub
from provision.base.threads import each, start
from provision.model.cluster import console
from provision.model.cluster.inventory import inventory
from provision.model.cluster.plan import made_from_another, refuse_to_move_the_hub
from provision.model.cluster.render import public_context
from provision.model.cluster.resources import master_name
from provision.operations.cluster.resolve import (
    ResolvedSpec,
    ask_ahead_of_live,
    find_cluster_dir,
    made_from_another_error,
    resolve_live,
)
from provision.operations.packages.resolution import kept_bundle

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from provision.adapters.cluster_dir import ClusterDir
    from provision.adapters.openstack.cloud import Cloud
    from provision.adapters.spark import SparkMaster
    from provision.base.model import Bastion, ClusterSpec, Role
    from provision.base.progress import Progress
    from provision.model.cluster.resources import Server

UP_HINT: Final = "Make it with `provision up`; `provision status` shows what is there."


@dataclass(frozen=True, slots=True)
class LiveCluster:
    """A cluster whose nodes exist and can be reached over SSH."""

    spec: ClusterSpec
    nodes: tuple[Node, ...]
    """The master first."""
    addresses: Addresses
    contexts: dict[Role, dict[str, Any]]
    """The template variables of each role, without secrets."""
    cluster_dir: ClusterDir
    ssh_config: Path
    made_from: str = ""
    """The file that it was made from, where `spec` is not that one's but the default."""

    @property
    def master(self) -> Node:
        """The node that runs the Spark master."""
        return self.with_role("master")[0]

    @property
    def hub(self) -> Node:
        """The node with the Hub, everybody's notebooks, drivers and files."""
        return with_hub(self.nodes) or self.master

    @property
    def hub_context(self) -> dict[str, Any]:
        """Its template variables."""
        return self.contexts[self.hub.role]

    @property
    def workers(self) -> tuple[Node, ...]:
        """The nodes that run the Spark workers."""
        return self.with_role("worker")

    def with_role(self, role: Role) -> tuple[Node, ...]:
        """Return the nodes that have a role."""
        return tuple(node for node in self.nodes if node.role == role)

    def fleet(self) -> ssh.Fleet:
        """Return SSH connections to the nodes; the caller closes them."""
        return ssh.Fleet(self.cluster_dir.folder, self.nodes)

    def inventory(self, *, whole: bool = True) -> dict[str, Any]:
        """Return Ansible's inventory of the nodes; secrets that do not exist yet are made.

        `whole`: for playbooks that bring all settings to the nodes, and not the users alone.

        Raises UsageError where the spec is not the cluster's: playbooks would bring its users to the nodes. So it does
        where the cloud no longer has the key pair: they would take its key from the nodes.
        """
        if self.made_from:
            raise made_from_another_error(self.spec.name, self.made_from)
        if whole and self.spec.key_pair and not self.spec.public_key:
            raise UsageError(
                f"key_pair: this user of cloud {self.spec.cloud!r} has no key pair {self.spec.key_pair!r} any more",
                "Name another, or remove the line: then its key is taken from the nodes.",
            )
        self.cluster_dir.ensure_secrets(self.spec, self.addresses)
        tls, folder = self.spec.hub.tls, self.cluster_dir.folder
        secrets = {
            "file": folder / "secrets.json",
            "hub_cert": tls.cert if tls else folder / "hub.pem",
            "hub_key": tls.key if tls else folder / "hub.key",
        }
        return inventory(
            self.nodes,
            self.contexts,
            ssh_config=self.ssh_config,
            templates=paths.TEMPLATES,
            secrets=secrets,
            packages=self.packages(),
        )

    def packages(self) -> dict[str, Any]:
        """Return what packages.yml has to bring to the nodes.

        `wanted`: whether the spec asks for any; `digest` and `archive` are empty while they are not resolved.
        """
        kept = kept_bundle(self.spec.packages, self.cluster_dir) if self.spec.packages else None
        return {
            "wanted": bool(self.spec.packages),
            "digest": kept.bundle.digest if kept else "",
            "archive": str(kept.archive) if kept else "",
        }


def make_live_cluster(
    resolved: ResolvedSpec, cluster_dir: ClusterDir, nodes: Iterable[Node], addresses: Addresses
) -> LiveCluster:
    """Describe a cluster whose nodes are known, and write its ssh_config and known_hosts.

    Host keys that a node's console no longer shows (it keeps the last lines only) stay as they are in known_hosts.
    """
    bastion = resolved.spec.network.bastion
    nodes, ssh_config = write_ssh_config(cluster_dir, nodes, addresses.floating, bastion)
    return LiveCluster(
        spec=resolved.spec,
        nodes=nodes,
        addresses=addresses,
        contexts={
            role: public_context(resolved.spec, resolved.sizing, addresses, role, nodes) for role in resolved.spec.roles
        },
        cluster_dir=cluster_dir,
        ssh_config=ssh_config,
    )


def write_ssh_config(
    cluster_dir: ClusterDir, nodes: Iterable[Node], floating: str, bastion: Bastion | None
) -> tuple[tuple[Node, ...], Path]:
    """Write the ssh_config and known_hosts; return the nodes with the host keys that are known, and the ssh_config."""
    known = known_host_keys(cluster_dir)
    nodes = tuple(node if node.host_keys else replace(node, host_keys=known.get(node.id, ())) for node in nodes)
    return nodes, ssh.write_config(cluster_dir.folder, nodes, floating, bastion)


@dataclass(frozen=True, slots=True)
class EarlySpark:
    """A question to the Spark master where it was last, before the cloud has said whether it still is there."""

    floating: str
    """The floating IP, and with it the Hub's."""
    config: tuple[str, ...]
    """What decided where the question went (adapters/ssh.py::config_texts)."""
    answer: Future[SparkMaster | None]


def ask_spark_early(cluster_dir: ClusterDir) -> EarlySpark | None:
    """Ask the Spark master as an earlier command left the ssh_config; None where there was none."""
    folder = cluster_dir.folder
    master = ssh.known_master(folder, master_name(cluster_dir.name)) if cluster_dir.private_key.exists() else None
    if master is None:
        return None
    answer = start(lambda: ask_master(folder / ssh.CONFIG, master.node, master.by))
    return EarlySpark(master.floating, ssh.config_texts(folder), answer)


def ask_spark(
    cluster_dir: ClusterDir,
    nodes: Iterable[Node],
    floating: str,
    early: EarlySpark | None = None,
    *,
    bastion: Bastion | None = None,
) -> SparkMaster | None:
    """Ask the Spark master for its state; None while it does not answer, or the host key of the way to it is not known.

    An `early` answer counts where the question has gone to these very nodes.
    """
    nodes, ssh_config = write_ssh_config(cluster_dir, nodes, floating, bastion)
    if early and early.config == ssh.config_texts(cluster_dir.folder):
        return early.answer.result()
    master, hub = next((node for node in nodes if node.role == "master"), None), with_hub(nodes)
    return ask_master(ssh_config, master, hub.name) if master and hub and hub.host_keys else None


def find_live_cluster(
    spec: ClusterSpec, source: str, cloud: Cloud | None = None, progress: Progress | None = None
) -> LiveCluster:
    """Find a cluster's nodes on its cloud, and write its ssh_config; `source` names the spec's file in errors.

    `progress` is told of what may last: many consoles are read.

    Raises ProvisionError when there is no cluster, or this machine has no key for it.
    """
    cloud = cloud or connect(spec.cloud, source)
    ask_ahead_of_live(cloud, spec)
    cluster_dir = find_cluster_dir(cloud, spec.name)
    observed = cloud.observe(spec.name, spec.workers.count)
    servers = [server for server in observed.nodes if server.address]
    master, hub = observed.port_of("master"), observed.port_of(observed.hub_role)
    has_roles = {"master", observed.hub_role} <= {server.role for server in servers}
    if not has_roles or not master or not hub or not observed.address:
        raise ProvisionError(f"there is no cluster {spec.name} on cloud {spec.cloud!r}", UP_HINT)
    if not cluster_dir.private_key.exists():
        raise ProvisionError(
            f"this machine has no key for cluster {spec.name}: {cluster_dir.private_key} is missing",
            "Copy the folder from the machine that made the cluster.",
        )
    resolved = resolve_live(cloud, spec, observed, source)
    if spec.hub_role != observed.hub_role:
        refuse_to_move_the_hub(resolved.desired_state(), observed)
    addresses = Addresses(master.address, observed.address, hub.address if observed.hub_role == "hub" else "")
    nodes = with_host_keys(cloud, cluster_dir, servers, progress)
    cluster = make_live_cluster(resolved, cluster_dir, nodes, addresses)
    return replace(cluster, made_from=made_from_another(resolved.desired_state(), observed))


def known_host_keys(cluster_dir: ClusterDir) -> dict[str, tuple[str, ...]]:
    """Return the host keys that known_hosts holds, by the id of the server that they are of."""
    return {kept.id: kept.keys for kept in ssh.known(cluster_dir.folder).values() if kept.id}


def with_host_keys(
    cloud: Cloud, cluster_dir: ClusterDir, servers: Sequence[Server], progress: Progress | None = None
) -> list[Node]:
    """Make nodes of servers. Host keys come from known_hosts if it names the same server, else from its console.

    What is read is kept, whatever ends the reading.
    """
    progress = progress or Silent()
    keys = known_host_keys(cluster_dir)
    new = [server for server in servers if server.id not in keys]
    unreadable: list[Server] = []

    def read(server: Server) -> None:
        try:
            text = cloud.console_if_readable(server.id) if unreadable else cloud.console(server.id)
        except TransientError:
            # Its hypervisor may be down: the other nodes are reached all the same, and not waited for as long.
            unreadable.append(server)
            return
        keys[server.id] = console.host_keys(text)
        progress.step("host keys", f"of {server.name}")

    def nodes(of: Sequence[Server]) -> list[Node]:
        return [
            Node(server.name, server.role, server.address, server.id, server.status, keys.get(server.id, ()))
            for server in of
        ]

    # Of a few nobody need be told.
    told = progress.phase(f"Read the host keys of {len(new)} nodes") if len(new) > AT_ONCE else nullcontext()
    try:
        with told:
            each(read, new, at_once=AT_ONCE)
    finally:
        if new:
            ssh.keep_host_keys(cluster_dir.folder, nodes(new))
    return nodes(servers)
