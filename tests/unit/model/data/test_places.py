"""`[USER:]PATH`: every form that is taken, and every one that is refused."""

from __future__ import annotations

import pytest

from provision.base.errors import UsageError
from provision.model.data.places import is_remote, place

USERS = ["alice", "bob"]


@pytest.mark.parametrize(
    ("text", "named", "user", "path"),
    [
        ("alice:", "", "alice", "./"),
        ("alice:.", "", "alice", "./"),
        ("alice:~", "", "alice", "./"),
        ("alice:~/x", "", "alice", "x"),
        ("alice:notes/", "", "alice", "notes/"),
        ("alice:a b/ü", "", "alice", "a b/ü"),
        ("alice:-x", "", "alice", "-x"),
        ("alice:/shared/a:b", "", "alice", "/shared/a:b"),
        ("/shared/a:b", "bob", "bob", "/shared/a:b"),
        (":/shared/", "bob", "bob", "/shared/"),
        ("/home/bob/x", "", "bob", "/home/bob/x"),
        ("/home/bob", "", "bob", "/home/bob"),
        ("/home/bob/../alice/x", "", "alice", "/home/alice/x"),
        ("/home/alice/x", "bob", "bob", "/home/alice/x"),
        ("x", "bob", "bob", "x"),
    ],
)
def test_what_is_meant(text, named, user, path):
    found = place(text, USERS, named)
    assert (found.user, found.path) == (user, path)


def test_the_only_user_need_not_be_named():
    assert str(place("/shared/", ["alice"])) == "alice:/shared/"


def test_users_whom_logins_make_have_to_be_named():
    assert str(place("/shared/", [], "dora")) == "dora:/shared/"
    assert str(place("dora:x", [])) == "dora:x"
    with pytest.raises(UsageError, match="as which user") as caught:
        place("/shared/x", [])
    assert "NAME" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "named", "message"),
    [
        ("/shared/x", "", "as which user"),
        ("carol:x", "", "no user 'carol'"),
        ("/home/carol/x", "", "no user 'carol'"),
        ("x", "carol", "no user 'carol'"),
        ("alice:x", "bob", "--as says bob, and the path says alice"),
    ],
)
def test_what_is_refused(text, named, message):
    with pytest.raises(UsageError, match=message) as caught:
        place(text, USERS, named)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "remote"), [("alice:x", True), (":/shared", True), ("./a:b", False), ("x", False), ("/a/b:c", False)]
)
def test_a_colon_before_the_first_slash_is_the_cluster(text, remote):
    assert is_remote(text) is remote
