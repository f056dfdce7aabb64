"""A question to a Spark master through `ssh -W`; a program stands for ssh, and connects without it."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from provision.adapters import spark
from provision.base.model import Node

SSH = f"""#!{sys.executable}
import socket, sys
host, _, port = sys.argv[sys.argv.index("-W") + 1].rpartition(":")
link = socket.create_connection((host, int(port)), 5)
link.sendall(sys.stdin.buffer.read())
link.shutdown(socket.SHUT_WR)
while part := link.recv(65536):
    sys.stdout.buffer.write(part)
"""
STATE = {
    "workers": [{"host": "10.20.0.5", "state": "ALIVE"}, {"host": "10.20.0.6", "state": "DEAD"}],
    "cores": 2,
    "memory": 3072,
    "activeapps": [{}],
}


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """A function that asks a server which gives the same answer to everybody."""
    program = tmp_path / "ssh"
    program.write_text(SSH)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    def ask(body, status=200):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status if self.path == "/json/" else 404)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setattr(spark, "PORTS", type(spark.PORTS)(spark_master_ui=server.server_address[1]))
        try:
            return spark.ask_master(
                tmp_path / "ssh_config", Node("a-master", "master", "127.0.0.1", "1", "ACTIVE", ()), "a-hub"
            )
        finally:
            server.server_close()

    return ask


def test_a_master_says_what_it_has(ask):
    assert ask(json.dumps(STATE)) == spark.SparkMaster(("10.20.0.5",), 2, 3072, 1)


@pytest.mark.parametrize("body", ["", "<html>", "[]", "{}", '{"workers": 1}', '{"workers": [1]}', '{"workers": [{}]}'])
def test_a_master_that_says_nonsense_does_not_answer(ask, body):
    assert ask(body) is None


def test_a_master_that_fails_does_not_answer(ask):
    assert ask(json.dumps(STATE), status=500) is None


@pytest.mark.parametrize("text", ["", "HTTP/1.1", "ssh: no route"])
def test_what_is_no_answer_is_none(text):
    assert spark.read_answer(text) is None
