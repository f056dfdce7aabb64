"""Bring the spec's packages to every node of a live cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.operations.cluster.ansible import run_playbooks
from provision.operations.packages.resolution import forget_others

if TYPE_CHECKING:
    from provision.base.progress import Progress
    from provision.operations.cluster.nodes import LiveCluster

PLAYBOOK: Final = "packages.yml"


def deliver(cluster: LiveCluster, progress: Progress) -> int:
    """Run the playbook on all nodes; return how many things it changed. Raises ProvisionError when it fails."""
    changed = run_playbooks(cluster.inventory(), progress, (PLAYBOOK,))
    forget_others(cluster.spec.packages, cluster.cluster_dir)
    return changed
