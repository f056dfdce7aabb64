from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from provision.adapters.host import process
from provision.base import paths
from provision.base.model import Node
from provision.model.cluster import render
from provision.model.cluster.inventory import host_variables, inventory

_spec = importlib.util.spec_from_file_location("render_cases", Path(__file__).with_name("test_render.py"))
assert _spec
assert _spec.loader
cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cases)

NODES = (
    Node("analytics-master", "master", "10.20.0.10", "id-m"),
    Node("analytics-worker-1", "worker", "10.20.0.21", "id-1"),
    Node("analytics-worker-2", "worker", "10.20.0.22", "id-2"),
)


APART = (NODES[0], Node("analytics-hub", "hub", "10.20.0.11", "id-h"), *NODES[1:])


def made(tmp_path: Path, case: str, nodes: tuple[Node, ...] = NODES) -> dict[str, object]:
    secrets = cases.SECRETS
    files = {name: tmp_path / name for name in ("file", "hub_cert", "hub_key")}
    kept = {
        "spark_secret": secrets.spark_secret,
        "executor_key": secrets.executor_key,
        "login_secret": secrets.login_secret,
        "password_hashes": dict(secrets.password_hashes),
    }
    files["file"].write_text(json.dumps(kept))
    files["hub_cert"].write_text(secrets.hub_cert)
    files["hub_key"].write_text(secrets.hub_key)
    contexts = {
        role: render.public_context(cases.CASES[case], cases.SIZING, cases.addresses(cases.CASES[case]), role)
        for role in cases.CASES[case].roles
    }
    return inventory(
        nodes,
        contexts,
        ssh_config=tmp_path / "ssh_config",
        templates=paths.TEMPLATES,
        secrets=files,
        packages={"wanted": False, "digest": "", "archive": ""},
    )


def test_groups_are_the_roles(tmp_path: Path) -> None:
    found = made(tmp_path, "default")
    assert found["spark_master"]["hosts"] == found["jupyterhub"]["hosts"] == ["analytics-master"]
    assert found["spark_workers"]["hosts"] == ["analytics-worker-1", "analytics-worker-2"]


def test_the_hubs_own_node_is_the_jupyterhub(tmp_path: Path) -> None:
    found = made(tmp_path, "apart", APART)
    assert found["spark_master"]["hosts"] == ["analytics-master"]
    assert found["jupyterhub"]["hosts"] == ["analytics-hub"]


@pytest.mark.parametrize(("case", "nodes"), [("full", NODES), ("apart", APART)])
def test_a_roles_settings_are_there_once_and_part_of_each_nodes_variables(
    tmp_path: Path, case: str, nodes: tuple[Node, ...]
) -> None:
    found = made(tmp_path, case, nodes)
    for node in nodes:
        own = found["_meta"]["hostvars"][node.name]
        assert "hub" not in own
        variables = host_variables(found, node.name)
        assert variables["node_role"] == node.role
        assert [user["name"] for user in variables["hub"]["users"]] == ["alice", "bob"]
        assert variables.items() >= own.items()


def test_another_clusters_nodes_do_not_get_these_settings(tmp_path: Path) -> None:
    """inventories/openstack.yml puts all clusters' nodes into the same groups: users.yml would remove their users."""
    found = made(tmp_path, "full")
    (tmp_path / "inventory.json").write_text(json.dumps(found))
    ours, others = tmp_path / "ours", tmp_path / "others.json"
    ours.write_text(f"#!/bin/sh\ncat {tmp_path}/inventory.json\n")
    ours.chmod(0o755)
    groups = ("spark_master", "jupyterhub", "spark_workers")
    others.write_text(json.dumps({group: {"hosts": {f"other-{group}": {}}} for group in groups}))
    ansible = Path(sys.executable).parent / "ansible-inventory"
    result = process.run([str(ansible), "-i", str(others), "-i", str(ours), "--list"], cwd=tmp_path)
    assert result.ok, result.stdout + result.stderr
    variables = json.loads(result.stdout)["_meta"]["hostvars"]
    assert "hub" in variables["analytics-master"]
    assert all(not variables.get(f"other-{group}") for group in groups)


def test_each_of_a_thousand_workers_adds_little(tmp_path: Path) -> None:
    workers = tuple(Node(f"analytics-worker-{number}", "worker", "10.20.3.4", "x" * 36) for number in range(1000))
    few, many = (len(json.dumps(made(tmp_path, "full", NODES[:1] + some))) for some in (workers[:1], workers))
    assert (many - few) / 999 < 1000


def test_no_secret_is_printed(tmp_path: Path) -> None:
    text = json.dumps(made(tmp_path, "full"))
    for secret in (cases.SECRETS.spark_secret, "PRIVATE KEY", "$6$"):
        assert secret not in text


@pytest.mark.parametrize(("case", "nodes"), [("full", NODES[:2]), ("apart", APART[:3])])
def test_ansible_renders_the_same_bytes(tmp_path: Path, case: str, nodes: tuple[Node, ...]) -> None:
    """What cloud-init was given is what playbooks/site.yml restores."""
    (tmp_path / "inventory.json").write_text(json.dumps(made(tmp_path, case, nodes)))
    script = tmp_path / "inventory"
    script.write_text(f"#!/bin/sh\ncat {tmp_path}/inventory.json\n")
    script.chmod(0o755)
    told = (
        "{% set files = {} %}{% for file in node_files %}{% set _ = files.update({file.path: "
        "lookup('ansible.builtin.template', provision_templates ~ '/' ~ file.template)}) %}"
        "{% endfor %}{{ files | to_json }}"
    )
    play = {
        "hosts": "all",
        "gather_facts": False,
        "connection": "local",
        "vars_files": [str(paths.PLAYBOOKS / "vars/node.yml")],
        "vars": {"ansible_python_interpreter": sys.executable, "ansible_become": False},
        "tasks": [{"ansible.builtin.copy": {"content": told, "dest": str(tmp_path / "{{ inventory_hostname }}.out")}}],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    ansible = Path(sys.executable).parent / "ansible-playbook"
    result = process.run([str(ansible), "-i", str(script), str(tmp_path / "play.yml")], cwd=tmp_path)
    assert result.ok, result.stdout + result.stderr
    spec = cases.CASES[case]
    for node in nodes:
        context = render.node_context(spec, cases.SIZING, cases.addresses(spec), cases.SECRETS, node.role)
        files = json.loads((tmp_path / f"{node.name}.out").read_text())
        assert files == {file.path: file.content for file in render.node_files(context)}


@pytest.mark.parametrize("playbook", ["site.yml", "users.yml", "packages.yml"])
@pytest.mark.parametrize(
    "script",
    ["echo 'no YAML' >&2; exit 2", """echo '{"_meta": {"hostvars": {}}, "spark_master": {"hosts": []}}'"""],
    ids=["unreadable", "empty"],
)
def test_playbooks_fail_without_nodes(tmp_path: Path, playbook: str, script: str) -> None:
    """Ansible itself goes on with an empty inventory, and succeeds."""
    made = tmp_path / "inventory"
    made.write_text(f"#!/bin/sh\n{script}\n")
    made.chmod(0o755)
    ansible = Path(sys.executable).parent / "ansible-playbook"
    result = process.run([str(ansible), "-i", str(made), str(paths.PLAYBOOKS / playbook)], cwd=tmp_path)
    assert not result.ok
    assert "`provision inventory`" in result.stdout + result.stderr
