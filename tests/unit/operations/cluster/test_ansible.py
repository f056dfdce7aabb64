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
from provision.operations.cluster.ansible import PlaybookError, configure, run_playbooks
from provision.operations.cluster.nodes import find_live_cluster

INVENTORY = {"_meta": {"hostvars": {}}, "spark_master": {"hosts": ["a-master"]}}
RECAP = "PLAY RECAP ***\na-master  : ok=5  changed=2  unreachable=0\na-worker-1 : ok=5    changed=1    failed=0"


class Ansible:
    """Stands for process.stream."""

    def __init__(self, output, code=0):
        self.output, self.code, self.runs, self.inventories = output, code, [], []
        self.settings, self.limits = [], []

    def stream(self, argv, line, *, cwd, env):
        self.runs.append(argv)
        self.settings.append((cwd / "ansible.cfg").read_text())
        limited = "--limit" in argv
        self.limits.append((cwd / "limit").read_text().split() if limited else None)
        assert not limited or argv[argv.index("--limit") + 1] == f"@{cwd / 'limit'}"
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
    assert not isinstance(caught.value, PlaybookError)
    assert len(ansible.runs) == 1


NODES = ["a-master", *(f"a-worker-{number}" for number in range(1, 1000))]
MANY = {"_meta": {"hostvars": {name: {} for name in NODES}}, "spark_master": {"hosts": ["a-master"]}}


def recap(names, unreachable=(), failed=()):
    lines = [
        f"{name} : ok=5 changed=1 unreachable={int(name in unreachable)} failed={int(name in failed)} skipped=0"
        for name in ["localhost", *names]
    ]
    return "\n".join(["PLAY RECAP ***", *lines])


def test_one_node_that_is_not_reached_keeps_nobody_from_the_others(monkeypatch):
    lost = "fatal: [a-worker-7]: UNREACHABLE! => no route to host"
    first = Ansible(f"ok: [a-worker-6]\n{lost}\n{recap(NODES, unreachable=['a-worker-7'])}", 4)
    second = Ansible(recap(["a-master"]))
    runs = iter([first, second])
    monkeypatch.setattr(process, "stream", lambda *words, **options: next(runs).stream(*words, **options))
    with pytest.raises(PlaybookError, match=r"^playbooks/site\.yml failed on a-worker-7$") as caught:
        run_playbooks(MANY, Silent())
    assert caught.value.clean >= {*NODES} - {"a-worker-7"}
    assert "a-worker-7" not in caught.value.clean
    shown = caught.value.detail.splitlines()[-10:]
    assert [line for line in shown if "a-worker-7" in line and ("no route" in line or "unreachable=1" in line)] == [
        lost,
        "a-worker-7 : ok=5 changed=1 unreachable=1 failed=0 skipped=0",
    ]
    assert "a-worker-6" not in caught.value.detail
    assert first.limits == [None]
    assert second.limits == [["localhost", "all", "!a-worker-7"]]


def test_what_the_others_did_after_a_failure_hides_no_reason(monkeypatch):
    lost = "fatal: [a-worker-7]: UNREACHABLE! => no route to host"
    further = "\n".join(f"\nTASK [Step {number}] ***\nok: [a-worker-6]" for number in range(20))
    end = recap(NODES, unreachable=["a-worker-7"])
    first = Ansible(f"\nPLAY [Nodes] ***\n\nTASK [Look] ***\n{lost}\n{further}\n{end}", 4)
    runs = iter([first, Ansible(f"\nPLAY [Users] ***\n{further}\n{recap(['a-master'])}")])
    monkeypatch.setattr(process, "stream", lambda *words, **options: next(runs).stream(*words, **options))
    with pytest.raises(PlaybookError) as caught:
        run_playbooks(MANY, Silent())
    assert caught.value.detail.splitlines() == [
        "TASK [Look] ***",
        lost,
        "PLAY RECAP ***",
        "a-worker-7 : ok=5 changed=1 unreachable=1 failed=0 skipped=0",
    ]


def test_where_it_fails_on_every_node_no_more_is_run(monkeypatch):
    ansible = Ansible(recap(NODES[:2], failed=NODES[:2]), 2)
    monkeypatch.setattr(process, "stream", ansible.stream)
    with pytest.raises(PlaybookError, match=r"failed on a-master, a-worker-1$"):
        run_playbooks(MANY, Silent())
    assert len(ansible.runs) == 1


def test_what_fails_on_this_machine_fails_as_a_whole(monkeypatch):
    ansible = Ansible("localhost : ok=0 changed=0 unreachable=0 failed=1", 2)
    monkeypatch.setattr(process, "stream", ansible.stream)
    with pytest.raises(ProvisionError) as caught:
        run_playbooks(MANY, Silent())
    assert not isinstance(caught.value, PlaybookError)


@pytest.mark.parametrize(("asked", "forks"), [("", 50), ("20", 20), ("many", 50)])
def test_many_nodes_at_once_or_as_many_as_the_user_says(monkeypatch, asked, forks):
    monkeypatch.setenv("ANSIBLE_FORKS", asked)
    ansible = Ansible(RECAP)
    monkeypatch.setattr(process, "stream", ansible.stream)
    run_playbooks(MANY, Silent(), ("site.yml",))
    assert f"forks = {forks}\n" in ansible.settings[0]


def test_no_more_at_once_than_there_are_nodes(monkeypatch):
    ansible = Ansible(RECAP)
    monkeypatch.setattr(process, "stream", ansible.stream)
    run_playbooks({"_meta": {"hostvars": {name: {} for name in NODES[:3]}}}, Silent(), ("site.yml",))
    assert "forks = 3\n" in ansible.settings[0]


def test_the_playbooks_run_on_the_clusters_nodes(make_site, monkeypatch):
    site = make_site()
    site.up()
    cluster = find_live_cluster(site.spec, "cluster.yaml", site.cloud)
    certificate = site.cluster_dir.folder / "hub.pem"
    certificate.unlink()
    runs, limits = [], []

    def stream(argv, line, *, cwd, env):
        runs.append((cwd / "inventory.json").read_text())
        limits.append((cwd / "limit").read_text().split())
        line("a-master : ok=5 changed=1")
        return 0

    monkeypatch.setattr(process, "stream", stream)
    assert configure(cluster, Silent(), ["analytics-master"]) == 2
    assert limits == [["localhost", "analytics-master"]] * 2
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


def test_the_next_playbook_leaves_out_the_nodes_on_which_one_has_failed(tmp_path):
    """The real Ansible: what is written to the file of its limit is what it understands."""
    script = "case {{ inventory_hostname }} in lost) exit 1;; esac"
    hosts = {"hosts": "all", "gather_facts": False}
    check = {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.assert": {"that": True}}]}
    books = []
    for name, tasks in (
        ("first", [{"ansible.builtin.shell": script}]),
        ("second", [{"ansible.builtin.shell": "true"}]),
    ):
        books.append(tmp_path / f"{name}.yml")
        books[-1].write_text(json.dumps([check, hosts | {"tasks": tasks}]))
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = {"_meta": {"hostvars": {"here": local, "lost": local}}, "all": {"hosts": ["here", "lost"]}}
    with pytest.raises(PlaybookError, match=r"first\.yml failed on lost$") as caught:
        run_playbooks(inventory, Silent(), [str(book) for book in books])
    assert caught.value.clean == {"here", "localhost"}
    assert run_playbooks(inventory, Silent(), [str(books[0])], only=["here"]) == 1
