"""A program that is sent to a machine, here this one."""

from __future__ import annotations

from pathlib import Path

from provision.adapters.onnode import tree
from provision.adapters.remote import Remote, over_ssh

HERE = Remote("here", ("sh", "-c"), sudo=False)


def test_the_program_runs_and_its_input_is_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "it's").write_text("x")
    with HERE.start(tree, {"do": "list", "folder": ".", "checksum": False}) as piped:
        result = piped.finish()
    assert result.ok, result.stderr
    assert "it's" in result.stdout


def test_a_machine_that_is_not_reached_has_a_result():
    with Remote("gone", ("false",)).start(tree, {"do": "list"}) as piped:
        assert piped.finish().code == 1


def test_half_a_program_does_nothing():
    with Remote("cut", ("sh", "-c"), sudo=False).start(tree, {"do": "nothing that it knows"}) as piped:
        assert piped.finish().code != 0


def test_a_node_is_reached_by_the_clusters_own_configuration():
    remote = over_ssh(Path("/x/ssh_config"), "a-master")
    assert remote.argv == ("ssh", "-F", "/x/ssh_config", "a-master", "--")
    assert remote.sudo
    remote = over_ssh(Path("/x/ssh_config"), "a-master", "-o", "BatchMode=yes")
    assert remote.argv == ("ssh", "-F", "/x/ssh_config", "-o", "BatchMode=yes", "a-master", "--")
