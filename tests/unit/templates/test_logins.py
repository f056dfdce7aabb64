"""Who may use the Hub by a login, and whose accounts there are; with a real Hub and useradd in test_login_servers.py."""

from __future__ import annotations

import asyncio
import grp
import importlib.util
import json
import pwd
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from provision.adapters.onnode import look, master, users
from provision.base.constants import FIRST_GID, FIRST_UID
from provision.base.model import HubSpec, Login, Oidc, SecretSource
from provision.base.paths import TEMPLATES
from provision.model.cluster.render import login_settings

FILE = TEMPLATES / "image/files/usr/local/share/provision/hub/logins.py"
SERVER = Oidc("https://x.org", "hub", SecretSource("x", variable="X"))


@pytest.fixture
def module():
    spec = importlib.util.spec_from_file_location("logins", FILE)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def node(monkeypatch):
    """A node's accounts and groups, and the programs that change them."""
    there = {"root": (0, "root"), "alice": (2001, "Notebook user"), "games": (5, "games")}
    members = {"notebook": ["alice"], "video": []}
    asked = []

    def run(argv, **_):
        asked.append(argv)
        if argv[0].endswith("useradd"):
            there[argv[-1]] = (int(argv[argv.index("--uid") + 1]), argv[argv.index("--comment") + 1])
            members["notebook"].append(argv[-1])
        return SimpleNamespace(returncode=0)

    def account(name):
        return SimpleNamespace(pw_uid=there[name][0], pw_gecos=there[name][1])

    def group(name):
        return SimpleNamespace(gr_mem=members[name], gr_gid=1)

    monkeypatch.setattr(pwd, "getpwnam", account)
    monkeypatch.setattr(pwd, "getpwall", lambda: [account(name) for name in there])
    monkeypatch.setattr(grp, "getgrnam", group)
    monkeypatch.setattr(grp, "getgrall", lambda: [])
    monkeypatch.setattr(subprocess, "run", run)
    return SimpleNamespace(there=there, members=members, asked=asked)


@pytest.fixture
def make(module, node, tmp_path):
    (tmp_path / "etc").mkdir()

    def make_logins(**given):
        login = Login(SERVER, **given) if given else None
        settings = login_settings(HubSpec(login=login))
        return module.Logins(settings, tmp_path, "notebook", ["spark"], root=str(tmp_path))

    return make_logins


def test_numbers_are_not_those_of_the_spec(module):
    assert FIRST_UID < FIRST_GID < module.FIRST_UID


def test_lists_say_who_may(make):
    logins = make(
        allowed_users=("Alice.Smith@x.org", "bob"), allowed_groups=("lab",), denied_users=("eve",),
        admin_users=("root-ish",), admin_groups=("ops",), email_domain="x.org",
    )  # fmt: skip
    asked = [("alice.smith", []), ("bob", ["any"]), ("carol", []), ("carol", ["lab"]), ("eve", ["lab", "ops"])]
    assert [logins.allowed(*each) for each in asked] == [True, True, False, True, False]
    assert [logins.allowed("root-ish", []), logins.allowed("x", ["ops"])] == [True, True]
    assert [logins.administers("root-ish", []), logins.administers("x", ["ops"]), logins.administers("bob", [])] == [
        True,
        True,
        False,
    ]
    everybody = make(allow_all=True, denied_users=("eve",))
    assert (everybody.allowed("carol", []), everybody.allowed("eve", [])) == (True, False)


def test_a_first_login_makes_an_account_and_the_next_finds_it(make, node, tmp_path):
    logins = make(allow_all=True)
    assert logins.admit(" Dora.Smith", ["lab"], "1") == "dora-smith"
    (group, user) = node.asked
    assert group[1:] == ["--gid", "20001", "dora-smith"]
    assert user[user.index("--groups") + 1] == "notebook,spark"
    assert logins.admit("dora.smith", [], "1") == "dora-smith"
    assert len(node.asked) == 2
    assert logins.admit("erin", []) == "erin"
    assert node.there["erin"][0] == 20002
    kept = json.loads((tmp_path / "logins.json").read_text())
    assert kept["dora-smith"] == {"login": "dora.smith", "groups": [], "subject": "1"}
    assert (tmp_path / "logins.json").stat().st_mode & 0o777 == 0o600
    # The spec's own.
    assert logins.admit("alice", []) == "alice"
    assert "alice" not in [argv[-1] for argv in node.asked]


@pytest.mark.parametrize(
    ("login", "subject", "words"),
    [
        ("dora-smith", "2", "belongs to dora.smith"),
        ("dora.smith", "2", "somebody who was called dora.smith before"),
        ("games", "", "one of the system's own"),
        ("root", "", "one of the system's own"),
        ("video", "", "one of the system's own"),
        (["dora"], "", "gives no name"),
    ],
)
def test_nobody_gets_anothers_account(make, module, login, subject, words):
    logins = make(allow_all=True)
    logins.admit("dora.smith", [], "1")
    with pytest.raises(module.Refused, match=words):
        logins.admit(login, [], subject)


def test_rights_are_those_of_the_last_login_and_of_the_lists_now(make):
    make(allow_all=True).admit("dora", ["lab"], "1")
    assert make(allowed_groups=("lab",)).may("dora")
    assert not make(allowed_groups=("ops",)).may("dora")
    assert make(allow_all=True, admin_groups=("lab",)).admin("dora")
    # One of the spec's who has not logged in yet is known by name alone.
    assert make(allowed_users=("alice",)).may("alice")
    assert not make(allowed_groups=("lab",)).may("alice")


def test_by_pam_an_account_of_a_login_needs_a_password(make, tmp_path):
    make(allow_all=True).admit("dora", [], "1")
    by_pam = make()
    (tmp_path / "etc/shadow").write_text("alice:$6$x:1\ndora:*:1\n")
    assert (by_pam.may("alice"), by_pam.may("dora"), by_pam.admin("dora")) == (True, False, False)
    (tmp_path / "etc/shadow").write_text("dora:$6$x:1\n")
    assert by_pam.may("dora")


def test_a_home_that_is_there_keeps_its_number(module, node, monkeypatch, tmp_path):
    monkeypatch.setattr(module.os, "stat", lambda *_, **__: SimpleNamespace(st_uid=20077))
    assert module.next_uid("dora", str(tmp_path)) == 20077
    node.there["other"] = (20077, "x")
    with pytest.raises(module.Refused, match="belongs to somebody else"):
        module.next_uid("dora", str(tmp_path))


class Page:
    def get_handlers(self, _app):
        return ["login"]


def test_servers_of_those_who_may_not_end(module):
    stopped = []

    def user(name, **spawners):
        async def stop(server):
            stopped.append((name, server))

        ready = {server: SimpleNamespace(ready=state) for server, state in spawners.items()}
        return SimpleNamespace(name=name, spawners=ready, stop=stop)

    async def delete_user(_user, _name):
        stopped.append("route")

    class Users(module.EndsServers, Page):
        SECONDS = 0.01
        log = SimpleNamespace(warning=lambda *_: None, exception=lambda *_: None)
        may_use = staticmethod(lambda name: name == "alice")

    users = {1: user("alice", main=True), 2: user("dora", main=True, old=False), 3: user("erin", main=False)}
    app = SimpleNamespace(users=users, proxy=SimpleNamespace(delete_user=delete_user))

    async def look():
        part = Users()
        assert part.get_handlers(app) == ["login"]
        while not stopped:
            await asyncio.sleep(0.01)
        part.ending.cancel()

    asyncio.run(asyncio.wait_for(look(), 30))
    assert stopped[:2] == ["route", ("dora", "main")]
    assert {"alice", "erin"}.isdisjoint(each[0] for each in stopped)


def test_whoever_knows_an_account_of_a_login_knows_it_by_the_same_words(module):
    # Programs that run on nodes alone, and a playbook: each has the words itself.
    places = [
        *(Path(one.__file__) for one in (look, master, users)),
        Path(look.__file__).parents[3] / "playbooks/users.yml",
    ]
    for place in places:
        assert f'"{module.MADE}"' in place.read_text(), place
