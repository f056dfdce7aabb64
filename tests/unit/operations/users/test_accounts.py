"""The list of users made of the spec and the master's answer, and passwords on their way to the master."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest

from provision.adapters.cluster_dir import ClusterDir
from provision.adapters.host.process import Result
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import Addresses, ClusterSpec, User
from provision.operations.users.accounts import list_accounts, refuse_weak, set_password


class Master:
    """A Remote that answers once."""

    name = "a-master"

    def __init__(self, answer="", code=0):
        self.result = Result((), code, answer, "")
        self.orders = []

    @contextmanager
    def start(self, _module, order):
        self.orders.append(order)
        yield self

    def finish(self):
        return self.result


SAID = {
    "accounts": [
        {"name": "alice", "uid": 2001, "admin": True, "groups": ["team"], "password": "ok"},
        {"name": "zoe", "uid": 2002, "admin": False, "groups": [], "password": "locked"},
    ],
    "hub": [{"name": "alice", "server": "running", "last_activity": "2026-11-28T07:00:00Z"}],
    "problem": "",
}


def test_users_of_the_spec_and_of_the_master():
    listing = list_accounts(Master(json.dumps(SAID)), [User("alice"), User("bob", groups=("team",))])
    alice, bob, zoe = listing.accounts
    assert (alice.name, alice.admin, alice.groups, alice.server) == ("alice", True, ("team",), "running")
    assert (bob.name, bob.in_spec, bob.on_master, bob.groups, bob.password) == ("bob", True, False, ("team",), "")
    assert (zoe.in_spec, zoe.on_master, zoe.password, zoe.last_activity) == (False, True, "locked", None)


def test_a_master_that_does_not_answer():
    with pytest.raises(ProvisionError, match="a-master did not answer"):
        list_accounts(Master(code=255), [])


@pytest.fixture
def cluster_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    made = ClusterDir("analytics")
    made.ensure_secrets(ClusterSpec("analytics"), Addresses("10.20.0.10", "192.0.2.1"))
    return made


def test_only_the_hash_leaves_this_machine(cluster_dir):
    master = Master()
    set_password(master, cluster_dir, "alice", "correct horse", must_change=True)
    (order,) = master.orders
    assert set(order) == {"group", "admins", "do", "user", "hash", "must_change"}
    assert order["hash"].startswith("$6$")
    assert order["must_change"] is True
    # A new master begins with it, and the first password is nobody's any more.
    assert json.loads((cluster_dir.folder / "secrets.json").read_text())["password_hashes"] == {"alice": order["hash"]}
    assert cluster_dir.passwords.read_text() == ""


def test_a_user_who_is_not_there_keeps_everything_as_it_is(cluster_dir):
    before = (cluster_dir.folder / "secrets.json").read_text()
    with pytest.raises(UsageError, match="no user 'zed'"):
        set_password(Master(code=3), cluster_dir, "zed", "correct horse", must_change=False)
    assert (cluster_dir.folder / "secrets.json").read_text() == before


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("short", "5 letters"),
        ("x" * 129, "129 letters"),
        ("eight\tletters", "cannot be typed"),
        ("ALICE-and-more", "user's name"),
    ],
)
def test_weak_passwords(password, said):
    with pytest.raises(UsageError, match=said):
        refuse_weak("alice", password)


def test_good_passwords():
    refuse_weak("alice", "correct horse: bättery")
