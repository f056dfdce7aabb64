"""`provision users`: what it writes into the spec, prints and refuses, and where passwords come from."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from provision.adapters import remote
from provision.adapters.openstack import cloud as clouds
from provision.base.errors import UsageError
from provision.cli.users import commands
from provision.operations.users import accounts, change
from provision.operations.users.accounts import Account, Listing
from provision.operations.users.change import Change

SPEC = "name: a   # ours\nhub: {users: [alice, {name: bob, admin: true}]}\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cluster.yaml").write_text(SPEC)
    return tmp_path


@pytest.fixture
def operation(folder, monkeypatch):
    """Stands for the operation: it compares the two specs, and asks and writes as the real one does."""
    runs = []

    class Operation:
        def __init__(self, _cloud, spec, _source, _progress, before):
            self.spec, self.before = spec, before
            self.cluster_dir = SimpleNamespace(passwords=folder / "passwords")

        def run(self, confirm, write=lambda: None, forgotten=()):
            new, old = ([user.name for user in spec.hub.users] for spec in (self.spec, self.before))
            made = Change(
                tuple(name for name in new if name not in old), tuple(name for name in old if name not in new),
                differ=True, whole=False, pending=False,
            )  # fmt: skip
            confirm(made)
            write()
            runs.append((self.spec, forgotten))
            (folder / "passwords").touch()
            return made

    monkeypatch.setattr(change, "UserChange", Operation)
    monkeypatch.setattr(clouds, "connect", lambda *_: None)
    return runs


def invoke(*words, text=None):
    return CliRunner().invoke(commands.users, words, input=text, catch_exceptions=False)


def test_add_writes_the_file_and_brings_it(operation, folder):
    done = invoke("add", "carol", "bob", "--group", "team", "--must-change-password")
    assert done.exit_code == 0
    carol = "{name: carol, groups: [team], must_change_password: true}"
    bob = "{name: bob, admin: true, groups: [team], must_change_password: true}"
    assert (folder / "cluster.yaml").read_text() == f"name: a   # ours\nhub: {{users: [alice, {bob}, {carol}]}}\n"
    assert "+ user carol" in done.stderr
    assert f"Passwords:  {folder / 'passwords'} (of carol)" in done.stdout
    ((spec, _),) = operation
    assert [(user.name, user.admin) for user in spec.hub.users] == [("alice", False), ("bob", True), ("carol", False)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "Carol"), "cannot be a user's name"),
        (("add", "root"), "system"),
        (("add", "carol", "--group", "sudo"), "system"),
        (("add", "carol", "--group", "alice"), "is a user too"),
        (("remove", "zed"), "does not name zed"),
        (("remove", "alice", "bob"), "nobody could log in"),
    ],
)
def test_what_is_refused_changes_nothing(operation, folder, words, said):
    with pytest.raises(UsageError, match=said):
        invoke(*words)
    assert (folder / "cluster.yaml").read_text() == SPEC
    assert operation == []


def test_the_default_cluster_has_no_file_to_write_to(operation, folder):
    (folder / "cluster.yaml").unlink()
    with pytest.raises(UsageError, match="default cluster") as refused:
        invoke("add", "carol")
    assert "provision init" in refused.value.hint


def test_remove_asks_and_says_what_becomes_of_the_home(operation, folder):
    with pytest.raises(UsageError, match="removes bob"):
        invoke("remove", "bob")
    assert (folder / "cluster.yaml").read_text() == SPEC
    done = invoke("remove", "bob", "--yes")
    assert "- user bob: notebooks and programs end, the home goes to /var/backups/notebooks" in done.stderr
    assert (folder / "cluster.yaml").read_text() == "name: a   # ours\nhub: {users: [alice]}\n"
    assert operation[0][1] == ()


def test_remove_can_delete_the_home(operation):
    done = invoke("remove", "bob", "--yes", "--delete-home")
    assert "the home is deleted" in done.stderr
    assert operation[0][1] == ("bob",)


def test_a_link_stays_one_and_the_mode_too(operation, folder):
    real = folder / "specs"
    real.mkdir()
    (folder / "cluster.yaml").rename(real / "ours.yaml")
    (real / "ours.yaml").chmod(0o640)
    (folder / "cluster.yaml").symlink_to(real / "ours.yaml")
    invoke("add", "carol")
    assert (folder / "cluster.yaml").is_symlink()
    assert (real / "ours.yaml").stat().st_mode & 0o777 == 0o640
    assert "carol" in (real / "ours.yaml").read_text()


def test_apply_takes_the_file_as_it_is(operation, folder):
    assert invoke("apply").exit_code == 0
    assert (folder / "cluster.yaml").read_text() == SPEC


@pytest.fixture
def live(folder, monkeypatch):
    """A live cluster; returns what is set and listed there."""
    there = SimpleNamespace(set=[], listing=Listing((), ""))
    cluster = SimpleNamespace(ssh_config=folder, hub=SimpleNamespace(name="a-master"), cluster_dir="its folder")
    monkeypatch.setattr(commands, "_cluster", lambda spec, file: cluster)
    monkeypatch.setattr(remote, "over_ssh", lambda *_: "the master")
    monkeypatch.setattr(accounts, "list_accounts", lambda *_: there.listing)
    monkeypatch.setattr(
        accounts, "set_password", lambda *words, **named: there.set.append((*words[2:], *named.values()))
    )
    return there


def test_a_password_from_stdin(live):
    done = invoke("passwd", "alice", "--stdin", text="correct horse\nmore\n")
    assert live.set == [("alice", "correct horse", False)]
    assert "correct horse" not in done.output


def test_a_password_that_is_made_is_printed_once(live):
    done = invoke("passwd", "alice", "--generate", "--must-change")
    ((name, password, must_change),) = live.set
    assert (name, must_change) == ("alice", True)
    assert done.stdout == f"{password}\n"
    assert password not in done.stderr


@pytest.mark.parametrize(
    ("words", "text", "said"),
    [
        (("nobodyx", "--generate"), None, "the cluster has no user 'nobodyx'"),
        (("alice", "--stdin"), "four\n", "4 letters"),
        (("alice",), "correct horse\n", "no terminal"),
    ],
)
def test_what_is_wrong_with_a_password_is_said_before_the_cloud_is_asked(folder, monkeypatch, words, text, said):
    monkeypatch.setattr(commands, "_cluster", lambda *_: pytest.fail("it was asked"))
    with pytest.raises(UsageError, match=said):
        invoke("passwd", *words, text=text)


def test_without_a_terminal_no_password_is_asked_for(live):
    with pytest.raises(UsageError, match="no terminal"):
        invoke("passwd", "alice", text="correct horse\n")
    with pytest.raises(UsageError, match="exclude each other"):
        invoke("passwd", "alice", "--stdin", "--generate")
    with pytest.raises(UsageError, match="4 letters"):
        invoke("passwd", "alice", "--stdin", text="four\n")
    assert live.set == []


ALICE = Account("alice", True, ("team",), True, True, "ok", "running", "2026-11-28T07:00:00.000000Z")
BOB = Account("bob", False, (), True, False, "", "", None)
CAROL = Account("carol", False, (), False, True, "must_change", "", None)


def test_the_list_is_a_table_or_json(live):
    live.listing = Listing((ALICE, BOB, CAROL), "")
    header, alice, bob, carol = invoke("list").stdout.splitlines()
    assert header.split()[:4] == ["USER", "ADMIN", "GROUPS", "ACCOUNT"]
    assert alice.split()[:5] == ["alice", "yes", "team", "yes", "running"]
    assert "2026-11-28" in alice
    assert "missing: run `provision users apply`" in bob
    assert "not in the spec" in carol
    data = json.loads(invoke("list", "--json").stdout)
    assert data["hub_problem"] == ""
    assert [each["name"] for each in data["users"]] == ["alice", "bob", "carol"]
    assert data["users"][2]["password"] == "must_change"


def test_a_hub_that_does_not_answer_is_named(live):
    live.listing = Listing((ALICE,), "connection refused")
    done = invoke("list")
    assert "?" in done.stdout
    assert "connection refused" in done.stderr
