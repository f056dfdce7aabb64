"""The playbooks' command line, progress and result; Ansible itself is replaced at the process adapter."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from provision.adapters.host import process
from provision.base import paths
from provision.base.errors import ProvisionError
from provision.base.progress import Silent
from provision.operations.cluster.ansible import configure, run_playbooks
from provision.operations.cluster.nodes import find_live_cluster

INVENTORY = {"_meta": {"hostvars": {}}, "spark_master": {"hosts": ["a-master"]}}
RECAP = "PLAY RECAP ***\na-master  : ok=5  changed=2  unreachable=0\na-worker-1 : ok=5    changed=1    failed=0"


class Ansible:
    """Stands for process.stream."""

    def __init__(self, output, code=0):
        self.output, self.code, self.runs, self.inventories = output, code, [], []

    def stream(self, argv, line, *, cwd, env):
        self.runs.append(argv)
        self.inventories.append(json.loads(subprocess.run([argv[2]], capture_output=True, check=True).stdout))
        assert [name for name in env if name.startswith("ANSIBLE_")] == ["ANSIBLE_CONFIG"]
        assert {name: value for name, value in env.items() if name.startswith(("LANG", "LC_"))} == {"LC_ALL": "C.UTF-8"}
        # /tmp may be mounted noexec, and the inventory is a program.
        assert cwd.parent == paths.state_dir()
        assert (cwd / "ansible.cfg").read_text().startswith("[defaults]\n")
        for text in self.output.splitlines():
            line(text)
        return self.code


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("LANG", "LANGUAGE", "LC_MESSAGES"):
        monkeypatch.setenv(name, "de_DE")


class Progress(Silent):
    def __init__(self):
        self.updates = []

    def update(self, item, state):
        self.updates.append((item, state))


def test_what_a_run_has_left_that_was_killed_is_removed_in_the_end(monkeypatch):
    monkeypatch.setattr(process, "stream", Ansible(RECAP).stream)
    old, new = (paths.state_dir() / f"provision-ansible-{name}" for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "inventory.json").write_text("{}")
    os.utime(old, (0, 0))
    run_playbooks(INVENTORY, Silent())
    # Another cluster's run may be going on.
    assert [each.name for each in paths.state_dir().iterdir()] == [new.name]


def test_both_playbooks_run_and_their_changes_are_counted(monkeypatch):
    ansible, progress = Ansible(f"TASK [Inspect every file and unit] ***\n{RECAP}"), Progress()
    monkeypatch.setattr(process, "stream", ansible.stream)
    assert run_playbooks(INVENTORY, progress) == 6
    assert [argv[3] for argv in ansible.runs] == [str(paths.PLAYBOOKS / "site.yml"), str(paths.PLAYBOOKS / "users.yml")]
    assert [argv[0].rpartition("/")[2] for argv in ansible.runs] == ["ansible-playbook"] * 2
    assert ansible.inventories == [INVENTORY] * 2
    assert progress.updates == [(name, "Inspect every file and unit") for name in ("site.yml", "users.yml")]


def test_an_inventory_may_be_at_any_path(tmp_path, monkeypatch):
    ansible = Ansible(RECAP)
    monkeypatch.setattr(process, "stream", ansible.stream)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "it's $HOME"))
    run_playbooks(INVENTORY, Silent(), ("site.yml",))
    assert ansible.inventories == [INVENTORY]


def test_one_playbook_alone(monkeypatch):
    ansible = Ansible(RECAP)
    monkeypatch.setattr(process, "stream", ansible.stream)
    assert run_playbooks(INVENTORY, Silent(), ("packages.yml",)) == 3
    assert [argv[3] for argv in ansible.runs] == [str(paths.PLAYBOOKS / "packages.yml")]


def test_a_failure_ends_it_with_ansibles_own_output(monkeypatch):
    ansible = Ansible("fatal: [a-master]: UNREACHABLE!", 4)
    monkeypatch.setattr(process, "stream", ansible.stream)
    with pytest.raises(ProvisionError, match=r"playbooks/site\.yml failed") as caught:
        run_playbooks(INVENTORY, Silent())
    assert "UNREACHABLE" in caught.value.detail
    assert len(ansible.runs) == 1


def test_the_playbooks_run_on_the_clusters_nodes(make_site, monkeypatch):
    site = make_site()
    site.up()
    cluster = find_live_cluster(site.spec, "cluster.yaml", site.cloud)
    certificate = site.cluster_dir.folder / "hub.pem"
    certificate.unlink()
    runs = []

    def stream(argv, line, *, cwd, env):
        runs.append((cwd / "inventory.json").read_text())
        line("a-master : ok=5 changed=1")
        return 0

    monkeypatch.setattr(process, "stream", stream)
    assert configure(cluster, Silent()) == 2
    assert all("analytics-worker-2" in inventory for inventory in runs)
    assert certificate.exists()


def test_settings_for_other_playbooks_do_not_matter(tmp_path, monkeypatch):
    """The real Ansible, where this user's settings name a callback that ansible-core alone does not have."""
    (tmp_path / ".ansible.cfg").write_text("[defaults]\nstdout_callback = not_there\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ANSIBLE_STDOUT_CALLBACK", "not_there")
    monkeypatch.setenv("ANSIBLE_FORCE_COLOR", "1")
    # A locale that this machine does not have, and one that is not UTF-8: Ansible ends at once with either.
    monkeypatch.setenv("LANG", "de_XX.UTF-8")
    monkeypatch.setenv("LC_CTYPE", "C")
    tasks = [{"name": "Change", "ansible.builtin.command": {"argv": ["true"]}, "changed_when": True}]
    playbook = tmp_path / "own.yml"
    playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    hostvars = {"here": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}
    inventory = {"_meta": {"hostvars": hostvars}, "all": {"hosts": ["here"]}}
    progress = Progress()
    assert run_playbooks(inventory, progress, (str(playbook),)) == 1
    assert progress.updates == [(str(playbook), "Change")]
