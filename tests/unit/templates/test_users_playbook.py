"""What playbooks/users.yml does with the home of a user who goes, in folders of this machine."""

from __future__ import annotations

import os
import subprocess
import tarfile

import pytest
import yaml

from provision.base import paths


def script(name, places):
    """Return the text of a task's shell command, for other folders than the node's."""
    document = yaml.safe_load((paths.PLAYBOOKS / "users.yml").read_text())
    tasks = [task for play in document for each in play["tasks"] for task in (each, *each.get("block", ()))]
    text = next(task for task in tasks if task["name"] == name)["ansible.builtin.shell"]["cmd"]
    for old, new in places.items():
        text = text.replace(old, str(new))
    return text


@pytest.fixture
def node(tmp_path):
    """Homes of a node, and a function that archives alice's; `tar` can be another program."""
    (tmp_path / "home/alice").mkdir(parents=True)
    (tmp_path / "home/alice/x").write_text("alice's")
    (tmp_path / "bin").mkdir()
    for name in ("pkill", "id"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "bin/id").write_text("#!/bin/sh\necho 4242424\n")
    text = script(
        "End their programs, and archive their home folders",
        {"{{ users_backups }}": tmp_path / "kept", "/home": tmp_path / "home"},
    )

    def archive(tar=""):
        if tar:
            (tmp_path / "bin/tar").write_text(f"#!/bin/sh\n{tar}\n")
            (tmp_path / "bin/tar").chmod(0o755)
        environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "NAME": "alice", "KEPT": "yes"}
        return subprocess.run(["sh", "-c", text], env=environment, check=False).returncode

    return tmp_path, archive


def test_a_home_is_kept(node):
    place, archive = node
    (place / "kept").mkdir()
    (place / "kept/alice-1.tar.gz.part").write_text("half of one")
    assert archive() == 0
    (kept,) = (place / "kept").iterdir()
    assert kept.name.endswith(".tar.gz")
    with tarfile.open(kept) as file:
        assert file.getnames() == ["alice", "alice/x"]


@pytest.mark.parametrize(("code", "result", "count"), [(1, 0, 1), (2, 1, 0)])
def test_half_an_archive_does_not_stay(node, code, result, count):
    """1: a file has changed while it was read, as in the home of somebody busy."""
    place, archive = node
    assert archive(f'for word; do case "$word" in *.part) touch "$word";; esac; done; exit {code}') == result
    assert len(list((place / "kept").iterdir())) == count


def test_a_home_that_is_not_there_stops_nothing(node):
    place, archive = node
    (place / "home/alice/x").unlink()
    (place / "home/alice").rmdir()
    assert archive() == 0
    assert not (place / "kept").exists()


def test_room_is_measured_in_mebibytes(node):
    place, _ = node
    (place / "home/bob").mkdir()
    (place / "home/bob/x").write_bytes(os.urandom(3 << 20))
    text = script(
        "Look for room for the homes that are kept",
        {"{{ users_backups }}": place / "kept", "/home": place / "home"},
    )
    done = subprocess.run(
        ["bash", "-c", text], env=os.environ | {"NAMES": "alice bob gone"}, capture_output=True, text=True, check=True
    )
    needed, free = map(int, done.stdout.splitlines())
    assert needed in (3, 4)
    assert free > 0
