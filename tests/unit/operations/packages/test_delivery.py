"""playbooks/packages.yml itself, on a folder that stands for a node: brought, changed, taken away, idle in between."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from provision.adapters.host import bundle, process
from provision.base import paths

ANSIBLE = Path(sys.executable).parent / "ansible-playbook"


class FakeNode:
    """A node's file system below one folder."""

    def __init__(self, root):
        self.root = root
        self.packages, self.venv, self.scripts = root / "opt/packages", root / "venv", root / "bin"
        self.site = self.venv / "lib/python3.13/site-packages"
        for folder in (self.site, self.venv / "bin", self.scripts):
            folder.mkdir(parents=True)
        (self.venv / "bin/python").symlink_to(sys.executable)

    def make_bundle(self, name):
        """Pack a package of this name with a command, one that the system has too, and a jar."""
        content = self.root / name
        (content / "python/bin").mkdir(parents=True)
        (content / "jars").mkdir()
        (content / "jars/x.jar").write_text(name)
        (content / f"python/{name}.py").write_text("def main():\n    pass\n")
        for command in (f"{name}-run", "ls"):
            (content / "python/bin" / command).write_text("#!/bin/sh\n")
            (content / "python/bin" / command).chmod(0o755)
        return bundle.pack(content, self.root / f"{name}.tar.gz")[:16], self.root / f"{name}.tar.gz"

    def variables(self, packages):
        return {
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "node": {
                "packages": str(self.packages),
                "venv": str(self.venv),
                "scripts": str(self.scripts),
                "homes": str(self.root.parent / "homes"),
            },
            "provision_packages": packages,
        }

    def run(self, digest="", archive="", *, wanted=True, workers=(), few=8):
        """Run the playbook; return how much it changed, or None when it failed, and its output."""
        packages = {"wanted": wanted, "digest": digest, "archive": str(archive)}
        nodes = {"a-master": self} | {f"a-{worker.root.name}": worker for worker in workers}
        made = {
            "_meta": {"hostvars": {name: node.variables(packages) for name, node in nodes.items()}},
            "spark_master": {"hosts": ["a-master"]},
            "jupyterhub": {"hosts": ["a-master"]},
            "spark_workers": {"hosts": [*nodes][1:]},
        }
        script = self.root / "inventory"
        script.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(made)}\nEND\n")
        script.chmod(0o755)
        extra = json.dumps({"packages_scripts": "{{ node.scripts }}", "packages_few": few})
        argv = [str(ANSIBLE), "-i", str(script), "-e", extra, str(paths.PLAYBOOKS / "packages.yml")]
        result = process.run(argv, cwd=self.root, env=os.environ | {"ANSIBLE_NOCOLOR": "1"})
        recap = result.stdout.rpartition("PLAY RECAP")[2]
        changed = [int(line.split("changed=")[1].split()[0]) for line in recap.splitlines() if "a-master" in line]
        return (sum(changed) if result.ok else None), result.stdout + result.stderr

    @property
    def path_entry(self):
        file = self.site / "zz-provision-packages.pth"
        return file.read_text().strip() if file.exists() else ""


@pytest.fixture
def node(tmp_path):
    return FakeNode(tmp_path)


def test_brought_changed_and_taken_away(node):
    (first, one), (second, two), (third, three) = (node.make_bundle(name) for name in ("one", "two", "three"))
    assert node.run(first, one)[0]
    assert node.run(first, one)[0] == 0
    assert node.path_entry == f"{node.packages}/{first}/python"
    assert (node.packages / "current/jars/x.jar").read_text() == "one"
    assert [path.name for path in node.scripts.iterdir()] == ["one-run"], "and no `ls` before the system's"
    assert list((node.packages / first / "python/__pycache__").iterdir()), "users cannot write there: compiled at once"
    assert sorted(path.name for path in node.packages.iterdir()) == sorted([first, "current"])

    assert node.run(second, two)[0]
    assert node.path_entry == f"{node.packages}/{second}/python"
    assert (node.packages / first).is_dir(), "kernels that run go on with it"
    assert [path.name for path in node.scripts.iterdir()] == ["two-run"]

    assert node.run(third, three)[0]
    assert not (node.packages / first).exists()

    assert node.run(wanted=False)[0] == 1
    assert node.run(wanted=False)[0] == 0
    assert node.path_entry == ""
    assert not (node.packages / "current").exists()
    assert list(node.scripts.iterdir()) == []


@pytest.mark.parametrize("spoilt", [False, True], ids=["whole", "spoilt"])
def test_many_workers_take_the_archive_from_the_node_with_the_hub(tmp_path, monkeypatch, spoilt):
    (tmp_path / "homes").mkdir()
    hub, *workers = (FakeNode(tmp_path / name) for name in ("master", "worker-1", "worker-2"))
    digest, archive = hub.make_bundle("one")
    if spoilt:
        # What comes is not what was sent.
        copy = tmp_path / "bin/cp"
        copy.parent.mkdir()
        copy.write_text('#!/bin/sh\necho x | gzip > "$2"\n')
        copy.chmod(0o755)
        monkeypatch.setenv("PATH", f"{copy.parent}:{os.environ['PATH']}")
    changed, output = hub.run(digest, archive, workers=workers, few=1)
    assert changed, output
    for node in (hub, *workers):
        assert (node.packages / "current/jars/x.jar").read_text() == "one"
    copied = output.partition("TASK [Copy the archive]")[2].partition("TASK [")[0]
    assert ("changed: [a-worker-1]" in copied) == spoilt
    assert "changed: [a-master]" in copied
    assert list((tmp_path / "homes").iterdir()) == [], "nothing is left"


def test_a_node_with_the_hub_that_takes_nothing_for_the_others_keeps_none_from_them(tmp_path):
    (tmp_path / "homes").write_text("no folder")
    hub, *workers = (FakeNode(tmp_path / name) for name in ("master", "worker-1", "worker-2"))
    digest, archive = hub.make_bundle("one")
    _, output = hub.run(digest, archive, workers=workers, few=1)
    for node in (hub, *workers):
        assert (node.packages / "current/jars/x.jar").read_text() == "one", output


def test_packages_that_are_not_resolved_are_not_taken_for_none(node):
    changed, output = node.run()
    assert changed is None
    assert "not resolved yet" in output
