"""A web server for tests of adapters that speak HTTP."""

from __future__ import annotations

import http.server
import threading
from urllib.parse import unquote

import pytest


class LocalServer(http.server.ThreadingHTTPServer):
    """Answers every request with `status`, `body` and `headers`, and notes what was asked.

    `answers` come first, each a status and a body.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.body, self.headers = 200, b"{}", {}
        self.answers = []
        self.requests = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, unquote(self.path), body, dict(self.headers)))
        status, answer = self.server.answers.pop(0) if self.server.answers else (self.server.status, self.server.body)
        self.send_response(status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_PUT = do_DELETE = do_GET  # noqa: N815 - http.server's names

    def log_message(self, *_):
        pass


@pytest.fixture
def http_server():
    server = LocalServer()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
