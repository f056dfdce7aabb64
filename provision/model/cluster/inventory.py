"""Ansible's dynamic inventory: the groups that the roles make, and for each node how to reach it and what it is given.

The variables are those of model/cluster/render.py, so playbooks/site.yml fills in the templates as cloud-init did.
Secrets are not among them: `provision_secrets` says in which files of the operator's machine they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from provision.base.model import Node, Role

GROUPS: Final[dict[Role, tuple[str, ...]]] = {"master": ("spark_master", "jupyterhub"), "worker": ("spark_workers",)}


def inventory(
    nodes: Sequence[Node],
    contexts: Mapping[Role, Mapping[str, Any]],
    *,
    ssh_config: Path,
    templates: Path,
    secrets: Mapping[str, Path],
) -> dict[str, Any]:
    """Return what `--list` prints, host variables included (`_meta`); `contexts` are render.public_context's."""
    groups: dict[str, Any] = {}
    for role, names in GROUPS.items():
        for name in names:
            groups[name] = {"hosts": [node.name for node in nodes if node.role == role]}
    shared = {
        # In the place of Ansible's own options: the ssh_config shares connections, knows the keys and the way.
        "ansible_ssh_args": f'-F "{ssh_config}"',
        "ansible_pipelining": True,
        # Seconds for a connection and for sudo's answer: emulated nodes need more than Ansible's ten.
        "ansible_ssh_timeout": 180,
        "ansible_python_interpreter": "/usr/bin/python3",
        "provision_templates": str(templates),
        "provision_secrets": {name: str(path) for name, path in secrets.items()},
    }
    hostvars = {
        node.name: {
            "ansible_host": node.name,
            "provision_address": node.address,
            "provision_id": node.id,
            **shared,
            **_literal(contexts[node.role]),
        }
        for node in nodes
    }
    return {"_meta": {"hostvars": hostvars}, "all": {"children": sorted([*groups, "ungrouped"])}, **groups}


def _literal(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Mark text that Ansible would take for a template of its own: a Spark entry may hold braces."""
    if isinstance(value, str):
        return {"__ansible_unsafe": value} if "{{" in value or "{%" in value or "{#" in value else value
    if isinstance(value, list):
        return [_literal(one) for one in value]
    if isinstance(value, Mapping):
        return {key: _literal(one) for key, one in value.items()}
    return value
