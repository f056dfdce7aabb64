"""What the master does with people's data, on folders of this machine."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from provision.adapters.onnode import master as module
from provision.adapters.onnode.master import Master


@pytest.fixture
def make(make_master):
    def make_one(name="master", **options):
        root = make_master(name, **options)
        return Master(group="notebook", hub="/var/lib/jupyterhub", unit="jupyterhub", root=str(root)), root

    return make_one


def test_accounts_and_hashes(make):
    master, root = make()
    assert list(master.accounts()) == ["alice", "bob"]
    (root / "etc/shadow").write_text("alice:!:1:\nbob:$6$x:1:\nroot:$6$y:1:\n")
    assert master.hashes() == {"bob": "$6$x"}


def test_the_manifest_says_who_and_how_much(make):
    master, root = make()
    (root / "home/alice/x").write_bytes(b"1" * 100_000)
    os.link(root / "home/alice/x", root / "home/alice/y")
    whole, one = master.manifest("a", None), master.manifest("a", ["bob", "zed"])
    assert list(whole["users"]) == ["alice", "bob"]
    assert 100_000 < whole["bytes"] < 120_000
    assert (list(one["users"]), one["missing"], one["whole"]) == (["bob"], ["zed"], False)


def test_a_copied_hub_has_no_servers(tmp_path):
    with closing(sqlite3.connect(tmp_path / "hub")) as hub:
        hub.executescript(
            "CREATE TABLE servers(id); CREATE TABLE spawners(server_id, state);"
            "INSERT INTO servers VALUES (1), (2); INSERT INTO spawners VALUES (2, '{\"pid\": 7}');"
        )
        module.copy_database(hub, tmp_path / "copy")
        assert hub.execute("SELECT count(*) FROM servers").fetchone() == (2,)
    with closing(sqlite3.connect(tmp_path / "copy")) as copy:
        assert copy.execute("SELECT id FROM servers").fetchall() == [(1,)]
        assert copy.execute("SELECT * FROM spawners").fetchall() == [(None, None)]


def test_what_lies_in_the_way_of_staging_is_removed(make):
    master, root = make()
    (root / "shared" / module.STAGING).symlink_to(Path("/nowhere"))
    master.clear()
    assert not (root / "shared" / module.STAGING).is_symlink()


def test_a_unit_that_fails_says_so(make, monkeypatch):
    master, _ = make()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(OSError, match="systemctl"):
        master.hub_unit("stop")
    with pytest.raises(module.Failed, match="it failed"):
        module.run(["/bin/false"], "it failed")


def test_a_password_that_is_the_same_is_not_set_again(make, programs):
    """Setting it would end that it must be changed."""
    master, root = make()
    folder = root / "var/lib/jupyterhub" / module.STAGING / "in"
    folder.mkdir(parents=True)
    (folder / "hashes.json").write_text('{"alice": "$6$master-alice", "bob": "$6$another"}')
    master._set_hashes(["alice", "bob"])
    assert programs.read_text() == "chpasswd --encrypted\nbob:$6$another\n"
