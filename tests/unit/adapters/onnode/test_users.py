"""What the master says of its users: from files of accounts, and a Hub's API on this machine. And their passwords."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from provision.adapters.onnode import users as module

TOKEN = "the-token"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(
        "root:x:0:0::/root:/bin/bash\nprovision:x:1000:1000::/x:/bin/bash\n"
        + "".join(f"{name}:x:{uid}:{uid}::/home/{name}:/bin/bash\n" for name, uid in USERS.items())
    )
    (tmp_path / "etc/group").write_text(
        "root:x:0:\nspark:x:990:alice,bob\nnotebook:x:991:alice,bob,carol\nnotebook-admin:x:992:bob\n"
        "team:x:10001:alice,bob,provision\nprovision:x:1000:\nalice:x:2001:\n"
    )
    (tmp_path / "etc/shadow").write_text("alice:$6$a:20000::::::\nbob:$6$b:0::::::\ncarol:!$6$c:20000::::::\n")
    return tmp_path


USERS = {"alice": 2001, "bob": 2002, "carol": 2003}


class _Hub(BaseHTTPRequestHandler):
    users = 450

    def do_GET(self):
        if self.headers["Authorization"] != f"token {TOKEN}":
            self.send_error(403)
            return
        query = parse_qs(urlsplit(self.path).query)
        offset, limit = int(query["offset"][0]), int(query["limit"][0])
        page = [
            {
                "name": f"u{number}",
                "server": "/user/u0/" if number == 0 else None,
                "pending": "spawn" if number == 1 else None,
                "last_activity": "2026-11-28T07:00:00.000000Z",
            }
            for number in range(offset, min(offset + limit, self.users))
        ]
        body = json.dumps(page).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = HTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hub/api"
    server.shutdown()
    server.server_close()


def test_accounts_are_those_of_the_group(root):
    alice, bob, carol = module.Accounts("notebook", "notebook-admin", str(root)).describe()
    assert alice == {"name": "alice", "uid": 2001, "admin": False, "groups": ["team"], "password": "ok"}
    assert (bob["admin"], bob["password"]) == (True, "must_change")
    assert (carol["groups"], carol["password"]) == ([], "locked")


def test_the_hub_tells_of_all_its_users(hub):
    users = module.hub_users(hub, TOKEN)
    assert [user["name"] for user in users] == [f"u{number}" for number in range(450)]
    assert [user["server"] for user in users[:3]] == ["running", "spawn", ""]


def order(root, **more):
    return {"group": "notebook", "admins": "notebook-admin", "root": str(root), **more}


def test_a_list_has_accounts_though_the_hub_does_not_answer(root, hub, tmp_path, capsys):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "wrong").write_text("x")
    for token, count in (("token", 450), ("wrong", 0), ("none", 0)):
        assert module.main(order(root, do="list", api=hub, token=str(tmp_path / token))) == 0
        said = json.loads(capsys.readouterr().out)
        assert [each["name"] for each in said["accounts"]] == ["alice", "bob", "carol"]
        assert len(said["hub"]) == count
        assert bool(said["problem"]) == (count == 0)


def test_a_password_is_set_by_its_hash(root, programs):
    chage = programs.parent / "programs/chage"
    chage.write_text(f'#!/bin/sh\necho "chage $*" >> {programs}\n')
    chage.chmod(0o755)
    assert module.main(order(root, do="password", user="alice", hash="$6$new", must_change=False)) == 0
    assert programs.read_text() == "chpasswd --encrypted\nalice:$6$new\n"
    assert module.main(order(root, do="password", user="bob", hash="$6$new", must_change=True)) == 0
    assert programs.read_text().splitlines()[2:] == ["chpasswd --encrypted", "bob:$6$new", "chage --lastday 0 bob"]


@pytest.mark.parametrize("user", ["provision", "root", "zed"])
def test_nobody_else_gets_a_password(root, programs, user):
    assert module.main(order(root, do="password", user=user, hash="$6$new", must_change=False)) == 3
    assert programs.read_text() == ""
