"""Questions over the network, to real servers on this machine's loopback address."""

from __future__ import annotations

import shutil
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from provision.adapters import net
from provision.adapters.cluster_dir import ClusterDir
from provision.adapters.host.certificates import signed_by
from provision.base.model import Addresses, ClusterSpec


@contextmanager
def serving(status=200, body="{}", tls=None):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def cluster_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    made = ClusterDir("a")
    made.ensure_secrets(ClusterSpec("a"), Addresses("10.20.0.10", "172.29.0.100"))
    return made


def hub(cluster_dir, *, tls, certificate=None, authority=True, expired=False, status=200):
    with serving(status=status, tls=tls) as port:
        pem = certificate or cluster_dir.authority
        ours = (lambda served: signed_by(served, cluster_dir.authority.read_text())) if expired else None
        return net.hub_answers("127.0.0.1", port, pem, authority=authority, accepts_expired=ours, timeout=5)


def test_the_hub_answers_with_the_clusters_certificate(cluster_dir):
    assert hub(cluster_dir, tls=(cluster_dir.folder / "hub.pem", cluster_dir.folder / "hub.key")) == ""


def test_a_hub_that_fails_is_not_well(cluster_dir):
    said = hub(cluster_dir, tls=(cluster_dir.folder / "hub.pem", cluster_dir.folder / "hub.key"), status=503)
    assert "does not answer yet" in said


def test_a_hub_of_another_authority_is_not_believed(cluster_dir):
    other = ClusterDir("b")
    other.ensure_secrets(ClusterSpec("b"), Addresses("10.20.0.10", "172.29.0.100"))
    assert "its certificate is not the cluster's" in hub(
        cluster_dir, tls=(other.folder / "hub.pem", other.folder / "hub.key")
    )


def test_the_users_own_certificate_is_the_one_and_only(cluster_dir):
    other = ClusterDir("b")
    other.ensure_secrets(ClusterSpec("b"), Addresses("10.20.0.10", "172.29.0.100"))
    tls = (cluster_dir.folder / "hub.pem", cluster_dir.folder / "hub.key")
    assert hub(cluster_dir, tls=tls, certificate=tls[0], authority=False) == ""
    said = hub(cluster_dir, tls=tls, certificate=other.folder / "hub.pem", authority=False)
    assert "its certificate is not the cluster's" in said


def test_a_certificate_whose_time_is_over_counts_where_it_is_about_to_be_renewed(monkeypatch, cluster_dir):
    monkeypatch.setattr("provision.adapters.host.certificates.CERTIFICATE_DAYS", -0.02)
    for name in ("a", "b"):
        shutil.rmtree(ClusterDir(name).folder, ignore_errors=True)
        ClusterDir(name).ensure_secrets(ClusterSpec(name), Addresses("10.20.0.10", "127.0.0.1"))
    ours, theirs = ((ClusterDir(name).folder / "hub.pem", ClusterDir(name).folder / "hub.key") for name in ("a", "b"))
    assert hub(cluster_dir, tls=ours) == "its certificate has expired"
    assert hub(cluster_dir, tls=ours, expired=True) == ""
    assert hub(cluster_dir, tls=theirs, expired=True) != ""


def test_no_hub(cluster_dir):
    assert "does not answer yet" in net.hub_answers("127.0.0.1", 1, cluster_dir.authority, authority=True, timeout=1)


def test_a_missing_certificate_is_named(cluster_dir, tmp_path):
    assert "gone.pem" in net.hub_answers("127.0.0.1", 1, tmp_path / "gone.pem", authority=True, timeout=1)


def test_source_address():
    assert net.source_address("127.0.0.1") == "127.0.0.1"


def test_a_port_accepts_connections_or_not():
    with serving() as port:
        assert net.accepts_connections("127.0.0.1", port)
    assert not net.accepts_connections("127.0.0.1", port)


def test_the_address_of_a_name():
    assert net.address_of("127.0.0.1") == "127.0.0.1"
    assert net.address_of("no-such-host.invalid") is None


def test_the_certificate_that_a_server_presents(cluster_dir):
    tls = (cluster_dir.folder / "hub.pem", cluster_dir.folder / "hub.key")
    with serving(tls=tls) as port:
        assert net.served_certificate("127.0.0.1", port) == net.leaf(tls[0].read_text())
    assert net.served_certificate("127.0.0.1", port) is None


def test_no_proxy_is_asked_for_a_node(monkeypatch, cluster_dir):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    tls = (cluster_dir.folder / "hub.pem", cluster_dir.folder / "hub.key")
    for certificate, authority in ((cluster_dir.authority, True), (tls[0], False)):
        with serving(tls=tls) as port:
            assert net.hub_answers("127.0.0.1", port, certificate, authority=authority) == ""


def test_a_port_that_is_taken_is_not_given():
    free = net.free_port(0)
    assert net.free_port(free) == free
    with serving() as taken:
        assert net.free_port(taken) not in (0, taken)
