"""What daemons answer: their answers are made up, and so are those of users' programs on the drivers' ports."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from provision.adapters.onnode import daemons


def test_daemons_are_asked(monkeypatch, tmp_path):
    answers = {
        "http://m/json/": {"workers": [1], "activeapps": [], "status": "ALIVE", "more": 1},
        "http://h/hub/api/users?limit=200&offset=0": [
            {"name": "alice", "servers": {"": {"pending": "spawn", "started": "2026"}}},
            {"name": "bob", "servers": {"": {"pending": None}}},
        ],
    }

    def get(url, seconds, token=""):
        if url not in answers:
            raise OSError("no route")
        return answers[url]

    monkeypatch.setattr(daemons, "get", get)
    monkeypatch.setattr(daemons, "served_certificate", lambda *_: "PEM")
    assert daemons.spark("http://m", []) == {"workers": [1], "activeapps": [], "status": "ALIVE", "demands": {}}
    assert daemons.spark("http://n", []) == {"problem": "no route"}
    assert daemons.hub("http://h", "", 443) == {
        "problem": "",
        "pending": {"alice": ["spawn", "2026"]},
        "certificate": "PEM",
    }
    assert daemons.hub("http://n", "", 443)["problem"] == "no route"
    assert daemons.metadata("x") == "no route"


def test_drivers_say_what_they_want(monkeypatch):
    pages = "http://d:4040/api/v1/applications"
    answers = {
        "http://m/json/": {
            "activeapps": [{"id": "app-1", "cores": 0}, {"id": "app-2", "cores": 2}, {"id": "app-3", "cores": 0}]
        },
        pages: [{"id": "app-1"}],
        f"{pages}/app-1/stages?status=active": [{"stageId": 0}],
        f"{pages}/app-1/environment": {"sparkProperties": [["spark.executor.cores", "64"]]},
        "http://d:4041/api/v1/applications": "another program's page",
    }
    monkeypatch.setattr(daemons, "get", lambda url, *_: answers[url])
    monkeypatch.setattr(
        daemons, "reach", lambda targets, _: dict.fromkeys((f"{host}:{port}" for host, port in targets), "open")
    )
    drivers = [("d", 4040), ("d", 4041)]
    assert daemons.spark("http://m", drivers)["demands"] == {"app-1": {"wants": 64, "unit": 64}}
    answers[f"{pages}/app-1/stages?status=active"] = []
    assert daemons.demands(["app-1"], drivers) == {"app-1": {"wants": 0, "unit": 64}}
    assert daemons.demands(["app-9"], drivers) == {}


@pytest.mark.parametrize(
    "answer", [b"hello\n", b"HTTP/1.0 200 OK\r\n\r\n" + b"[" * 100000, b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n["]
)
def test_a_user_s_program_on_a_driver_s_port_hides_nobody(answer):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    if connection.recv(4096):
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        assert daemons.demands(["app-1"], [listener.getsockname()]) == {}


@pytest.mark.parametrize("cores", ["Infinity", "1e999"])
def test_a_number_that_is_none_hides_nobody(monkeypatch, cores):
    answers = [[{"id": "app-1"}], [], {"sparkProperties": [["spark.executor.cores", float(cores)]]}]
    monkeypatch.setattr(daemons, "get", lambda *_: answers.pop(0))
    monkeypatch.setattr(daemons, "reach", lambda *_: {"d:4040": "open"})
    assert daemons.demands(["app-1"], [("d", 4040)]) == {}


def test_drivers_have_a_time_together(monkeypatch):
    asked = []

    def slow(url, seconds, token=""):
        asked.append(seconds)
        time.sleep(0.06)
        raise TimeoutError

    monkeypatch.setattr(daemons, "TOGETHER", 0.1)
    monkeypatch.setattr(daemons, "get", slow)
    monkeypatch.setattr(daemons, "reach", lambda *_: {f"d:{port}": "open" for port in range(3)})
    assert daemons.demands(["app-1"], []) == {}
    assert asked[0] > asked[1] > 0 > asked[2]


def test_the_hub_s_users_are_asked_for_page_by_page(monkeypatch):
    users = [{"name": f"u{number}", "servers": {"": {"pending": "spawn"}}} for number in range(daemons.PAGE + 5)]

    def get(url, seconds, token=""):
        offset = int(url.rpartition("=")[2])
        return users[offset : offset + daemons.PAGE]

    monkeypatch.setattr(daemons, "get", get)
    monkeypatch.setattr(daemons, "served_certificate", lambda *_: "PEM")
    assert len(daemons.hub("http://h", "", 443)["pending"]) == len(users)
