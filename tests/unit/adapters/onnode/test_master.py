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


def test_a_login_gets_its_account_on_a_new_master(make, monkeypatch):
    """With the number that its files have; the program of the image makes it."""
    master, root = make()
    asked = []
    monkeypatch.setattr(module, "run", lambda command, _what: asked.append(command))
    users = {"alice": {"uid": 2001, "made": True}, "dora": {"uid": 20001, "made": True}, "carol": {"uid": 2003}}
    old = {"users": {"dora": 20001}, "groups": {"dora": 20001}}
    master._make_accounts(users, old)
    assert asked == []
    (root / module.LOGINS).parent.mkdir(parents=True)
    (root / module.LOGINS).write_text("")
    master._make_accounts(users, old)
    program = str(root / module.LOGINS)
    assert asked == [["/usr/bin/python3", "-I", program, "account", "dora", "20001", "notebook", "spark"]]


def test_a_login_whose_number_is_somebody_elses_now_gets_another(make, monkeypatch):
    """Whoever logged in first after the master was replaced has it; files are matched by name."""
    master, root = make()
    asked = []
    monkeypatch.setattr(module, "run", lambda command, _what: asked.append((command[4], int(command[5]))))
    (root / module.LOGINS).parent.mkdir(parents=True)
    (root / module.LOGINS).write_text("")
    with (root / "etc/passwd").open("a") as passwd, (root / "etc/group").open("a") as group:
        passwd.write("first:x:20001:20001:Notebook user by login:/home/first:/bin/bash\n")
        group.write("first:x:20001:\nother:x:20003:\n")
    numbers = {"dora": 20001, "emil": 20002, "fred": 20003, "gina": 0, "hugo": 20002}
    old = {"users": numbers | {"removed": 20009}, "groups": {"dora": 20001}}
    master._make_accounts({name: {"uid": number, "made": True} for name, number in numbers.items()}, old)
    assert asked == [("dora", 20010), ("emil", 20002), ("fred", 20011), ("gina", 20012), ("hugo", 20013)]


def test_programs_of_users_end_before_data_is_read_or_written(make, programs, monkeypatch):
    """Notebook servers and jobs are units of their own, and go on without the Hub."""
    master, root = make()
    folder = root / "var/lib/jupyterhub" / module.STAGING / "in"
    folder.mkdir(parents=True)
    (folder / "hashes.json").write_text("{}")
    seen = []
    monkeypatch.setattr(master, "_archive", lambda *_: seen.append(programs.read_text()))
    master.archive("a", None, stop=True)
    monkeypatch.setattr(master, "_received", lambda: {"users": {}, "ids": {"users": {}, "groups": {}}})
    monkeypatch.setattr(master, "_make_accounts", lambda *_: seen.append(programs.read_text()))
    programs.write_text("")
    master.put_in_place(["alice"], replace=False)
    assert seen == ["systemctl stop jupyterhub\nsystemctl stop notebooks.slice\n"] * 2
    assert programs.read_text().endswith("systemctl start jupyterhub\n")


def test_the_hub_goes_on_when_programs_cannot_be_ended(make, programs):
    master, _ = make()
    (programs.parent / "programs" / "systemctl").write_text(
        f'#!/bin/sh\necho "systemctl $*" >> {programs}\ntest "$2" != notebooks.slice\n'
    )
    for work in (lambda: master.archive("a", None, stop=True), lambda: master.put_in_place(None, replace=False)):
        (master.hub / module.STAGING / "in").mkdir(parents=True, exist_ok=True)
        (master.hub / module.STAGING / "in/manifest.json").write_text('{"version": 1, "users": {}, "ids": {}}')
        with pytest.raises(module.Failed, match=r"stop notebooks\.slice"):
            work()
        assert programs.read_text().endswith("systemctl start jupyterhub\n")
