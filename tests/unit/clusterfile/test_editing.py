"""Users come into the text of a cluster.yaml and leave it; every other line stays as it was written."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from provision.base.errors import UsageError
from provision.base.model import User
from provision.cli.spec import init
from provision.clusterfile.document import parse
from provision.clusterfile.editing import with_users, without_users

FLOW = """\
# Our cluster.
name: a   # its name
workers:
    count: 2
hub:
    port: 443   # keep me

    # about users
    users: [alice, {name: bob, admin: true}]
    limits: {memory: 1g, cores: 2}
spark:
    defaults: {spark.sql.shuffle.partitions: 022, a.b: on, c.d: 1:00:00, e.f: "x"}
"""
BLOCK = """\
name: a
hub:
  users:
    # the first
    - alice   # hers
    - name: bob
      admin: true
  port: 8443
"""


def changed(before, after):
    """Return the lines that went and those that came."""
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


def test_a_list_in_brackets_grows_and_shrinks():
    more = with_users(FLOW, "c", [User("carol"), User("dan", True, ("team", "x"), True)], ["alice"])
    dan = "{name: dan, admin: true, groups: [team, x], must_change_password: true}"
    assert changed(FLOW, more) == (
        ["    users: [alice, {name: bob, admin: true}]"],
        [f"    users: [alice, {{name: bob, admin: true}}, carol, {dan}]"],
    )
    assert changed(more, without_users(more, "c", ["carol", "dan"], [])) == changed(more, FLOW)


def test_a_list_of_lines_keeps_its_comments():
    more = with_users(BLOCK, "c", [User("carol", groups=("team",))], [])
    assert changed(BLOCK, more) == ([], ["    - {name: carol, groups: [team]}"])
    assert changed(BLOCK, without_users(BLOCK, "c", ["bob"], [])) == (["    - name: bob", "      admin: true"], [])


def test_who_is_there_is_changed_in_place():
    more = with_users(BLOCK, "c", [User("alice", True), User("bob", True, ("team",))], [])
    assert changed(BLOCK, more) == (
        ["    - alice   # hers"],
        ["    - name: alice # hers", "      groups: [team]"],
    )
    assert parse(more).data["hub"]["users"] == [
        {"name": "alice", "admin": True},
        {"name": "bob", "admin": True, "groups": ["team"]},
    ]
    assert "users: [{name: alice, admin: true}, {name: bob" in with_users(FLOW, "c", [User("alice", True)], [])


@pytest.mark.parametrize("text", ["name: a\n", "name: a\nhub:\n", "name: a\nhub:\n  port: 8443\n  users:\n"])
def test_a_file_that_names_nobody_names_its_default_too(text):
    data = parse(with_users(text, "c", [User("bob")], ["alice"])).data
    assert data["hub"]["users"] == ["alice", "bob"]


def test_names_that_yaml_would_take_for_something_else_are_in_quotes():
    more = with_users(FLOW, "c", [User("no"), User("null"), User("carol", groups=("on", "team"))], [])
    assert '{name: bob, admin: true}, "no", "null", {name: carol, groups: ["on", team]}]' in more
    assert parse(more).data["hub"]["users"][2:] == ["no", "null", {"name": "carol", "groups": ["on", "team"]}]
    assert parse(without_users(more, "c", ["no", "null", "carol"], [])).data == parse(FLOW).data


def test_the_file_that_init_writes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(init, ["a"], catch_exceptions=False)
    text = (tmp_path / "cluster.yaml").read_text()
    more = with_users(text, "c", [User("bob")], [])
    assert changed(text, more) == (["  users: [alice]"], ["  users: [alice, bob]"])


def test_line_ends_stay_those_of_windows():
    more = with_users(FLOW.replace("\n", "\r\n"), "c", [User("carol")], [])
    assert more.count("\r\n") == more.count("\n")
    assert parse(more).data["hub"]["users"][-1] == "carol"


def test_a_file_that_would_change_elsewhere_is_refused():
    # An anchor that another field repeats: taking the users away takes it away.
    text = "name: a\nhub:\n  users: &people [alice, bob]\npackages: *people\n"
    with pytest.raises(UsageError, match="cannot be changed"):
        with_users(text, "c", [User("carol")], [])


@given(
    st.lists(st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True), min_size=1, unique=True),
    st.sampled_from((FLOW, BLOCK)),
)
def test_whoever_comes_and_goes_leaves_the_file_as_it_was(names, text):
    new = [name for name in names if name not in ("alice", "bob")]
    more = with_users(text, "c", [User(name) for name in new], [])
    assert parse(without_users(more, "c", new, [])).data == parse(text).data
