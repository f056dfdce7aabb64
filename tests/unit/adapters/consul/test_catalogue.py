"""Consul's answers, sorted: away (tried again), refused (said), done."""

from __future__ import annotations

import http.server
import threading
import urllib.parse

import pytest

from provision.adapters.consul.catalogue import Catalogue, CatalogueAwayError, RefusedError


@pytest.fixture
def consul():
    """Serve one prepared answer, and keep what was asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            size = int(self.headers.get("Content-Length", 0))
            server.asked.append((self.command, urllib.parse.unquote(self.path), self.rfile.read(size)))
            server.tokens.append(self.headers.get("X-Consul-Token"))
            status, body = server.prepared
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.prepared, server.asked, server.tokens = (200, b"{}"), [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def door(consul, **options):
    return Catalogue(f"http://127.0.0.1:{consul.server_port}/", **options)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((500, b"No cluster leader"), CatalogueAwayError),
        ((503, b"try later"), CatalogueAwayError),
        # Our token is not there yet: `cloud up` makes it.
        ((403, b"ACL not found"), CatalogueAwayError),
        ((500, b"The ACL system is currently in legacy mode."), CatalogueAwayError),
        ((400, b"Invalid check: TCP or HTTP"), RefusedError),
        ((403, b"Permission denied"), RefusedError),
        ((500, b'CheckID "service:x" does not have associated TTL'), RefusedError),
    ],
)
def test_errors(consul, answer, error):
    consul.prepared = answer
    with pytest.raises(error, match=answer[1].decode()[:20]):
        door(consul).register({"ID": "x"})


def test_nobody_there():
    with pytest.raises(CatalogueAwayError, match="does not answer"):
        Catalogue("http://127.0.0.1:1").services()


def test_ids_with_slashes_and_colons_arrive_whole(consul):
    door(consul).heartbeat("h:a/b:80:udp", "passing", "fine")
    door(consul).deregister("h:a/b:80:udp")
    assert [path for _, path, _ in consul.asked] == [
        "/v1/agent/check/update/service:h:a/b:80:udp",
        "/v1/agent/service/deregister/h:a/b:80:udp",
    ]


def test_what_is_gone_already_is_no_error(consul):
    consul.prepared = (404, b'Unknown service ID "x"')
    door(consul).deregister("x")


def test_the_token_goes_along(consul):
    door(consul, token="t").services()
    door(consul).services()
    assert consul.tokens == ["t", None]


def test_statuses_by_service(consul):
    consul.prepared = (
        200,
        b'{"service:a": {"ServiceID": "a", "Status": "passing"}, "serfHealth": {"ServiceID": "", "Status": "passing"}}',
    )
    assert door(consul).statuses() == {"a": "passing"}


def test_a_service_that_leaves_has_its_own_status_still(consul):
    consul.prepared = (
        200,
        b'{"service:a": {"ServiceID": "a", "Status": "passing"},'
        b' "_service_maintenance:a": {"ServiceID": "a", "Status": "critical"}}',
    )
    assert door(consul).statuses() == {"a": "passing"}
    assert set(door(consul).checks()) == {"service:a", "_service_maintenance:a"}


def test_maintenance(consul):
    door(consul).maintain("h:a/b:80", "this copy leaves")
    assert consul.asked[0][:2] == (
        "PUT", "/v1/agent/service/maintenance/h:a/b:80?enable=true&reason=this copy leaves",
    )  # fmt: skip
