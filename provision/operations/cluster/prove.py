"""What `up` does on live nodes, over SSH: bring them to the spec, and run a real job on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.adapters import ssh
from provision.operations.cluster.smoke_test import smoke

if TYPE_CHECKING:
    from provision.base.model import Node
    from provision.base.progress import Progress
    from provision.operations.cluster.apply import Apply


def configure(apply: Apply, nodes: tuple[Node, ...], progress: Progress) -> None:
    """Converge live nodes to the spec with the playbooks; a certificate for a new floating IP is made on the way."""
    from provision.operations.cluster.ansible import converge
    from provision.operations.cluster.nodes import look

    ssh.write_config(apply.cluster_dir.folder, nodes, apply.addresses.floating)
    converge(look(apply.found.spec, apply.found.source, apply.cloud), progress)


def smoke_test(apply: Apply, nodes: tuple[Node, ...], progress: Progress) -> str:
    """Run the smoke job and return what it said; raises ProvisionError when it does not end as it has to."""
    ssh.write_config(apply.cluster_dir.folder, nodes, apply.addresses.floating)
    master = next(node for node in nodes if node.role == "master")
    workers = [node for node in nodes if node.role == "worker"]
    progress.update(master.name, "runs sum(range(1000))")
    with ssh.Fleet(apply.cluster_dir.folder, nodes) as fleet:
        said = smoke(fleet, master, workers)
    progress.update(master.name, f"{said.sum}, computed by {len(said.hosts)} workers")
    return f"sum(range(1000)) = {said.sum}, computed by {', '.join(said.hosts)} in {said.seconds:.0f} s"
