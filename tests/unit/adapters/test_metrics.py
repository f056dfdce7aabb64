"""The store of metrics, answered by a server that stands in for it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from provision.adapters.metrics import Metrics
from provision.base.errors import ProvisionError, UsageError


@pytest.fixture
def store():
    """Serve `answers` by path: a status and a document; `asked` are the requests."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append((self.path, self.headers["Authorization"]))
            status, body = server.answers[self.path.partition("?")[0]]
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.asked = {}, []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def client(store):
    return Metrics.at(f"http://127.0.0.1:{store.server_port}/", "provision", "secret")


def test_questions_go_with_the_account_to_the_standard_api(store):
    data = {"resultType": "vector", "result": []}
    store.answers = {
        "/api/v1/query": (200, {"data": data}),
        "/api/v1/query_range": (200, {"data": {"resultType": "matrix", "result": [{"values": [[0, "1"]]}]}}),
        "/api/v1/targets": (200, {"data": {"activeTargets": [{"health": "up"}]}}),
        "/api/v1/alerts": (200, {"data": {"alerts": [{"state": "firing"}]}}),
    }
    asked = client(store)
    assert asked.query("up == 0") == data
    assert asked.targets() == [{"health": "up"}]
    assert asked.alerts() == [{"state": "firing"}]
    assert store.asked[0][0] == "/api/v1/query?query=up+%3D%3D+0"
    assert asked.query_range("up", 1000.4, 4600, 30) == [{"values": [[0, "1"]]}]
    assert store.asked[-1][0] == "/api/v1/query_range?query=up&start=1000&end=4600&step=30&nocache=1"
    assert {account for _, account in store.asked} == {"Basic cHJvdmlzaW9uOnNlY3JldA=="}


def test_a_wrong_query_is_the_asker_s(store):
    store.answers = {"/api/v1/query": (422, {"status": "error", "error": "unparsed data left"})}
    with pytest.raises(UsageError, match="the query is wrong") as caught:
        client(store).query("up up")
    assert "unparsed" in caught.value.detail


@pytest.mark.parametrize("answer", [(401, {"error": "no"}), (200, b"<html>"), (503, {"error": "vmalert is away"})])
def test_anything_else_is_a_failure(store, answer):
    store.answers = {"/api/v1/alerts": answer}
    with pytest.raises(ProvisionError, match="monitoring") as caught:
        client(store).alerts()
    assert caught.value.exit_code == 1


def test_nobody_there_is_said_so():
    with pytest.raises(ProvisionError, match="monitoring does not answer"):
        Metrics.at("http://127.0.0.1:1", "provision", "x", timeout=2).targets()
