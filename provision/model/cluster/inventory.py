"""Ansible's dynamic inventory: groups made from the roles, and variables that tell how to reach and set up each node.

The variables are those of model/cluster/render.py, so playbooks/site.yml renders the templates as cloud-init did. They
hold no secrets: `provision_secrets` names the files on the operator's machine that do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from provision.base.roles import with_hub

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from provision.base.model import Node, Role

GROUPS: Final = ("spark_master", "jupyterhub", "spark_workers")


def inventory(
    nodes: Sequence[Node],
    contexts: Mapping[Role, Mapping[str, Any]],
    *,
    ssh_config: Path,
    templates: Path,
    secrets: Mapping[str, Path],
    packages: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what `--list` prints, host variables (`_meta`) included; `contexts` come from render.public_context.

    `packages` says which bundle the nodes have to have: `wanted`, `digest`, `archive` (a path on this machine).
    """
    hub = with_hub(nodes)
    members = (
        [node for node in nodes if node.role == "master"],
        [hub] if hub else [],
        [node for node in nodes if node.role == "worker"],
    )
    groups: dict[str, Any] = {
        name: {"hosts": [node.name for node in group]} for name, group in zip(GROUPS, members, strict=True)
    }
    for role, context in contexts.items():
        # Once for all nodes of a role: the list of users alone is long. Not in the groups above, into which
        # inventories/openstack.yml puts all clusters' nodes: playbooks would bring them this one's settings and users.
        names = [node.name for node in nodes if node.role == role]
        groups[f"provision_{role}"] = {"hosts": names, "vars": _literal(context)}
    shared = {
        # Instead of Ansible's own options: the ssh_config has the addresses and host keys, and shares connections.
        "ansible_ssh_args": f'-F "{ssh_config}"',
        "ansible_pipelining": True,
        # Seconds for a connection and for sudo: emulated nodes need more than Ansible's default of ten.
        "ansible_ssh_timeout": 180,
        "ansible_python_interpreter": "/usr/bin/python3",
        "provision_templates": str(templates),
        "provision_secrets": {name: str(path) for name, path in secrets.items()},
        "provision_packages": dict(packages),
    }
    hostvars = {
        node.name: {
            "ansible_host": node.name,
            "provision_address": node.address,
            "provision_id": node.id,
            **shared,
        }
        for node in nodes
    }
    return {"_meta": {"hostvars": hostvars}, "all": {"children": sorted([*groups, "ungrouped"])}, **groups}


def host_variables(made: Mapping[str, Any], host: str) -> dict[str, Any]:
    """Return all variables of a host of an inventory: its groups' and its own, which go before."""
    found: dict[str, Any] = {}
    for group in made.values():
        if host in group.get("hosts", ()):
            found |= group.get("vars", {})
    return {**found, **made["_meta"]["hostvars"][host]}


def _literal(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Mark text that Ansible would take for a template: a Spark setting may contain braces."""
    if isinstance(value, str):
        return {"__ansible_unsafe": value} if "{{" in value or "{%" in value or "{#" in value else value
    if isinstance(value, list):
        return [_literal(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _literal(item) for key, item in value.items()}
    return value
