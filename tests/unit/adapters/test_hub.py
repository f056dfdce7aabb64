"""Whether the Hub answers, through a program that leads to it: in the place of `ssh -W`, one of this machine."""

from __future__ import annotations

import os
import shutil
import ssl
import stat
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from provision.adapters import hub
from provision.adapters.cluster_dir import ClusterDir
from provision.adapters.host.certificates import signed_by
from provision.adapters.host.process import run_checked
from provision.base.model import Addresses, ClusterSpec

RELAY = """#!/usr/bin/python3
import socket, sys, threading
host, _, port = sys.argv[sys.argv.index("-W") + 1].partition(":")
if port == "1":
    sys.exit("channel 0: open failed: connect failed: Connection refused")
end = socket.create_connection(("127.0.0.1", int(port)))
def back():
    while data := end.recv(4096):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    sys.stdout.close()
threading.Thread(target=back, daemon=True).start()
while data := sys.stdin.buffer.raw.read(4096):
    end.sendall(data)
"""


@contextmanager
def serving(tls, status=200):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            assert self.path == "/hub/health"
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*tls)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def cluster_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text(RELAY)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    made = ClusterDir("a")
    made.ensure_secrets(ClusterSpec("a"), Addresses("10.20.0.10", "10.20.0.10"))
    return made


def asked(cluster_dir, *, tls=None, certificate=None, authority=True, expired=False, status=200, port=0):
    tls = tls or (cluster_dir.folder / "hub.pem", cluster_dir.folder / "hub.key")
    ours = (lambda served: signed_by(served, cluster_dir.authority.read_text())) if expired else None
    with serving(tls, status) as served:
        return hub.hub_answers_over_ssh(
            cluster_dir.folder / "ssh_config",
            "a-master",
            ("10.20.0.10", port or served),
            certificate or cluster_dir.authority,
            authority=authority,
            accepts_expired=ours,
        )


def made_elsewhere(folder, days=1):
    folder.mkdir()
    key, cert = folder / "k.pem", folder / "c.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    argv += ["-subj", "/CN=x", "-days", str(days), "-keyout", str(key), "-out", str(cert)]
    run_checked(argv, what="making a certificate")
    return cert, key


def test_with_the_clusters_certificate(cluster_dir):
    assert asked(cluster_dir) == ""


def test_with_another(cluster_dir, tmp_path):
    assert "not the cluster's" in asked(cluster_dir, tls=made_elsewhere(tmp_path / "x"))


def test_the_users_own_certificate_is_that_very_one(cluster_dir, tmp_path):
    own, other = made_elsewhere(tmp_path / "x"), made_elsewhere(tmp_path / "y")
    assert asked(cluster_dir, tls=own, certificate=own[0], authority=False) == ""
    assert "not the cluster's" in asked(cluster_dir, tls=other, certificate=own[0], authority=False)


def test_one_whose_time_is_over(cluster_dir, monkeypatch):
    real = hub.ask

    def expired(argv, context, name, *rest):
        if context.verify_mode == ssl.CERT_NONE:
            return real(argv, context, name, *rest)
        error = ssl.SSLCertVerificationError("certificate verify failed")
        error.verify_code, error.verify_message = 10, "certificate has expired"
        raise error

    monkeypatch.setattr(hub, "ask", expired)
    assert asked(cluster_dir) == "its certificate has expired"
    assert asked(cluster_dir, expired=True) == ""


def test_a_hub_that_is_not_well(cluster_dir):
    assert asked(cluster_dir, status=503) == "it does not answer yet (HTTP 503)"


def test_what_ssh_says_is_said(cluster_dir):
    assert "Connection refused" in asked(cluster_dir, port=1)


def test_a_certificate_that_is_gone(cluster_dir, tmp_path):
    assert "gone.pem cannot be read" in asked(cluster_dir, certificate=tmp_path / "gone.pem")


def test_silence_has_an_end(cluster_dir):
    with pytest.raises(hub._NoAnswerError, match="nothing came in time"):
        hub.ask([shutil.which("sleep"), "30"], ssl.create_default_context(), "10.20.0.10", 0.2)
