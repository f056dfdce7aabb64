"""What a master says of its drivers: real servers on the loopback address stand for them."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from provision.adapters.onnode import contact, drivers
from provision.adapters.remote import Remote

APP = {"id": "app-1", "name": "PySparkShell", "attempts": [{"sparkUser": "alice"}]}


@pytest.fixture
def serve():
    """A function that starts a server with one answer, and returns its port."""
    servers = []

    def serve(body):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200 if self.path == "/api/v1/applications" else 404)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return servers[-1].server_address[1]

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_driver_says_what_runs(serve, capsys):
    port = serve(json.dumps([APP]))
    # Nothing listens on port 1.
    assert drivers.find("127.0.0.1", 1, 1) == []
    assert drivers.main({"address": "127.0.0.1", "first": port, "last": port}) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"port": port, "id": "app-1", "name": "PySparkShell", "user": "alice"}
    ]


@pytest.mark.parametrize("body", ["", "<html>", "{}", "[{}]", "[1]", '[{"id": "a", "name": "b", "attempts": []}]'])
def test_what_is_no_driver_is_passed_over(serve, body):
    port = serve(body)
    assert drivers.find("127.0.0.1", port, port) == []


def test_the_program_runs_by_itself(serve):
    port = serve(json.dumps([APP]))
    order = {"address": "127.0.0.1", "first": port, "last": port}
    with Remote("here", ("sh", "-c"), sudo=False).start(drivers, order, needs=[contact]) as piped:
        assert [each["id"] for each in json.loads(piped.finish().stdout)] == ["app-1"]
