"""A store that answers over SSH: a program that passes bytes on stands for it."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from provision.adapters import store_over_ssh
from provision.adapters.host.process import Piped
from provision.adapters.metrics import Metrics
from provision.adapters.store_over_ssh import SshStore
from provision.base.errors import ProvisionError
from provision.base.model import Node

MASTER = Node("a-master", "master", "10.20.0.10")
RELAY = """
import os, socket, sys, threading
channel = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def up():
    while data := os.read(0, 65536):
        channel.sendall(data)
threading.Thread(target=up, daemon=True).start()
while data := channel.recv(65536):
    os.write(1, data)
"""


@pytest.fixture(name="port")
def _port():
    """Serve each question as its own answer, in chunks as a large one is."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = json.dumps({"data": {"resultType": "vector", "result": [self.path, self.headers["Host"]] * 900}})
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            if "closing" in self.path:
                self.send_header("Connection", "close")
            self.end_headers()
            for start in range(0, len(body), 1000):
                part = body[start : start + 1000].encode()
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(name="asked")
def _asked(monkeypatch):
    """Have the relay in place of ssh."""
    argvs = []

    def start(argv):
        argvs.append(argv)
        return Piped([sys.executable, "-c", RELAY, argv[-2].rpartition(":")[2]])

    monkeypatch.setattr(store_over_ssh, "Piped", start)
    return argvs


def test_all_questions_go_over_one_connection(port, asked):
    with SshStore(Path("ssh_config"), MASTER, port, "Look.") as store:
        metrics = Metrics(store, "Look.")
        for text in ("up", "sum(up)", "up"):
            assert metrics.query(text)["result"][0].startswith("/api/v1/query?query=")
    assert asked == [["ssh", "-F", "ssh_config", "-W", f"127.0.0.1:{port}", "a-master"]]


def test_a_connection_that_the_store_closes_is_made_anew_and_not_to_this_machine(port, asked):
    with SshStore(Path("ssh_config"), MASTER, port, "Look.") as store:
        metrics = Metrics(store, "Look.")
        for text in ("closing", "up", "sum(up)"):
            assert f"query={text[:2]}" in metrics.query(text)["result"][0]
    assert len(asked) == 2


def test_after_an_error_the_next_question_has_a_connection_of_its_own(asked):
    with SshStore(Path("ssh_config"), MASTER, 1, "Look.") as store:
        for _ in range(2):
            with pytest.raises(ProvisionError, match="does not answer"):
                store.get("/api/v1/query", {"query": "up"})
    assert len(asked) == 2


def test_a_store_that_does_not_run_is_told_with_what_ssh_said(asked):
    with SshStore(Path("ssh_config"), MASTER, 1, "Look.") as store, pytest.raises(ProvisionError) as caught:
        store.get("/api/v1/query", {"query": "up"})
    assert caught.value.message == "monitoring does not answer"
    assert "refused" in caught.value.detail
