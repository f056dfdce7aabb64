"""What a node tells of itself, of Spark and of the Hub, which are a small server of this machine here."""

from __future__ import annotations

import json
import threading
from http.client import IncompleteRead
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from provision.adapters.onnode import vitals
from provision.adapters.onnode.vitals import hub, machine, main, notebooks, spark

USERS = [
    {"name": f"user-{number}", "admin": False, "last_activity": None, "kind": "user", "servers": {}}
    for number in range(5)
]
USERS[1]["servers"] = {"": {"ready": True, "pending": None, "started": "2026-03-01T12:00:00Z", "url": "/user/x"}}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/json/":
            data = {"status": "ALIVE", "workers": [], "activeapps": [], "completedapps": [1, 2]}
        elif self.headers["Authorization"] == "token t0ken":
            asked = dict(part.split("=") for part in query.split("&"))
            data = USERS[int(asked["offset"]) :][: int(asked["limit"])]
        else:
            self.send_error(403)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(data).encode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def url():
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_machine_is_measured():
    found = machine()
    assert len(found["load"]) == 3
    assert found["processors"] >= 1
    assert 0 < found["memory_free"] <= found["memory"]
    assert 0 < found["disk_free"] <= found["disk"]


def test_the_memory_of_notebooks(tmp_path):
    (tmp_path / "notebook-alice.service").mkdir()
    (tmp_path / "notebook-alice.service/memory.current").write_text(f"{300 << 20}\n")
    assert notebooks(str(tmp_path)) == {"notebook-alice": 300}
    assert notebooks(str(tmp_path / "none")) == {}


def test_spark_is_asked_where_it_answers(url):
    assert spark(["http://127.0.0.1:9/json/", f"{url}/json/"]) == {"status": "ALIVE", "workers": [], "activeapps": []}
    assert "refused" in spark(["http://127.0.0.1:9/json/"])["error"]


def test_all_pages_of_the_hubs_users_are_read(url, tmp_path, monkeypatch):
    monkeypatch.setattr(vitals, "PAGE", 2)
    (tmp_path / "token").write_text("t0ken\n")
    found = hub(url, str(tmp_path / "token"))["users"]
    assert [user["name"] for user in found] == [user["name"] for user in USERS]
    assert found[1]["servers"] == [{"ready": True, "pending": None, "started": "2026-03-01T12:00:00Z"}]


def test_a_hub_that_refuses_is_an_error(url, tmp_path):
    (tmp_path / "token").write_text("another")
    assert "403" in hub(url, str(tmp_path / "token"))["error"]
    assert "No such file" in hub(url, str(tmp_path / "none"))["error"]


def test_a_daemon_that_breaks_off_is_an_error(tmp_path, monkeypatch):
    def broken(url, token=""):
        raise IncompleteRead(b"[")

    monkeypatch.setattr(vitals, "get", broken)
    (tmp_path / "token").write_text("t0ken")
    assert "IncompleteRead" in spark(["http://127.0.0.1:9/json/"])["error"]
    assert "IncompleteRead" in hub("http://127.0.0.1:9", str(tmp_path / "token"))["error"]


def test_it_tells_until_nobody_listens(url, tmp_path, monkeypatch):
    (tmp_path / "token").write_text("t0ken")
    told, dup = [], []
    monkeypatch.setattr(vitals.os, "dup2", lambda *_: dup.append(1))

    def tell(line):
        told.append(json.loads(line))
        if len(told) == 3:
            raise BrokenPipeError

    order = {"every": 0.0, "spark": [f"{url}/json/"], "notebooks": str(tmp_path), "hub": [url, str(tmp_path / "token")]}
    assert main(order, tell) == 0
    assert [len(each["hub"]["users"]) for each in told] == [5, 5, 5]
    assert dup == [1]


def test_a_worker_tells_of_itself_alone(monkeypatch):
    told = []

    def tell(line):
        told.append(json.loads(line))
        raise BrokenPipeError

    monkeypatch.setattr(vitals.os, "dup2", lambda *_: None)
    main({"every": 0.0}, tell)
    assert set(told[0]) == {"load", "processors", "memory", "memory_free", "disk", "disk_free"}
