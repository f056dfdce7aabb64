"""Bring a live cluster's nodes to the spec with Ansible."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.operations.cluster.ansible import run_playbooks

if TYPE_CHECKING:
    from provision.base.progress import Progress
    from provision.operations.cluster.nodes import LiveCluster


def configure(cluster: LiveCluster, progress: Progress) -> int:
    """Run the playbooks on all nodes; return how many things they changed.

    The Hub's certificate is issued again first if the floating IP is a new one. Raises ProvisionError when a playbook
    fails.
    """
    return run_playbooks(cluster.inventory(), progress)
