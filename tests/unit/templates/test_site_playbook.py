"""What playbooks/site.yml does with files and the units that they concern, on this machine: the real Ansible."""

from __future__ import annotations

import json
import os
import pwd
import sys

import pytest
import yaml

from provision.base import paths
from provision.base.errors import ProvisionError
from provision.base.progress import Silent
from provision.operations.cluster.ansible import run_playbooks

TASKS = (
    "Inspect every file and unit",
    "Compare them with the manifest",
    "Note the units that the node's image does not have",
    "Create the folders of files that differ",
    "Note the units that the files concern, and those that an interrupted run has left",
    "Keep them until they are restarted",
    "Restore files that differ",
    "Reload units that can read their changed files again",
    "Restart the units whose files changed",
    "Restart those that run because somebody has asked for them",
    "Forget the units that are restarted",
)


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Run the tasks on one file, with a `systemctl` that keeps what it is asked and fails if there is a file `broken`."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    (tmp_path / "bin").mkdir()
    program = f'#!/bin/sh\n[ ! -e {tmp_path}/broken ] || exit 1\necho "$@" >> {tmp_path}/asked\n'
    (tmp_path / "bin/unit").write_text(program)
    (tmp_path / "bin/systemctl").write_text("#!/bin/sh\ncase $1 in is-active) echo active;; *) echo enabled;; esac\n")
    for name in ("unit", "systemctl"):
        (tmp_path / "bin" / name).chmod(0o755)
    _, play = yaml.safe_load((paths.PLAYBOOKS / "site.yml").read_text())
    known = {task["name"]: task for task in play["tasks"]}
    tasks = [known[name] for name in known if name in TASKS]
    assert len(tasks) == len(TASKS)
    for task in tasks:
        if unit := task.pop("ansible.builtin.systemd_service", None):
            task["ansible.builtin.command"] = {"argv": [f"{tmp_path}/bin/unit", unit["state"], unit["name"]]}
    playbook = tmp_path / "site.yml"
    playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/hub.j2").write_text("new\n")
    user = pwd.getpwuid(os.getuid()).pw_name
    file = {"path": f"{tmp_path}/etc/hub", "template": "hub.j2", "owner": user, "group": user, "mode": "0600"}
    hostvars = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "provision_templates": f"{tmp_path}/templates",
        "node": dict.fromkeys(("spark_scratch", "set_quota", "hub_login", "shell_proxy", "apt_proxy"), "/none"),
        "accounts": {"key_mark": "mark", "operator_home": "/none"},
        "node_files": [{**file, "reload": ["nftables"], "restart": ["jupyterhub", "spark-history", "spark-worker"]}],
        "node_units": ["jupyterhub"],
        "node_on_demand": ["spark-history"],
        "node_off_units": [],
        "node_off_files": [],
        "node_pending": f"{tmp_path}/pending",
    }
    inventory = {"_meta": {"hostvars": {"here": hostvars}}, "all": {"hosts": ["here"]}}
    return tmp_path, lambda: run_playbooks(inventory, Silent(), (str(playbook),))


def test_restarts_that_an_interrupted_run_has_not_made_are_made_by_the_next(node):
    place, run = node
    (place / "broken").touch()
    with pytest.raises(ProvisionError):
        run()
    # The file is in place, and differs no more.
    assert (place / "etc/hub").read_text() == "new\n"
    kept = ["reload nftables", "restart jupyterhub", "restart spark-history", "restart spark-worker"]
    assert (place / "pending").read_text().splitlines() == kept
    assert (place / "pending").stat().st_mode & 0o777 == 0o600
    (place / "broken").unlink()
    assert run() == 3
    asked = ["reloaded nftables", "restarted jupyterhub", "restarted spark-history"]
    assert (place / "asked").read_text().splitlines() == asked
    assert not (place / "pending").exists()
    assert run() == 0
    assert (place / "asked").read_text().splitlines() == asked
