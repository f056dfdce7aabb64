"""Every host's logs from one manager: read as Docker sends them, and no host that is away is waited for."""

from __future__ import annotations

import http.server
import struct
import threading
import urllib.parse

import pytest

from provision.adapters.docker.swarm_logs import SwarmLogs
from provision.base.errors import ProvisionError
from provision.model.localcloud.logs import LogSource
from provision.model.localcloud.swarm import Host, Task

HOSTS = (Host("h1", "host-1", "192.0.2.1", True), Host("h2", "host-2", "192.0.2.2", False))
API, CONSUL, OLD = (
    LogSource("t1", "api", "api-1@host-1"),
    LogSource("t2", "consul", "consul@host-2"),
    LogSource("t3", "api", "api-2@h"),
)


class FakeSwarm:
    def hosts(self):
        return HOSTS

    def tasks(self):
        return (
            Task("api", "host-1", "running", True, "c1", id="t1", slot=1),
            Task("consul", "host-2", "shutdown", False, "c2", id="t2"),
            Task("api", "", "pending", True, id="t9", slot=2),
        )


def frame(stream, text):
    return struct.pack(">BxxxL", stream, len(text)) + text


@pytest.fixture(name="docker")
def _docker(monkeypatch):
    """Serve what Docker would: frames in chunks, then an end or (`hang`) silence."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            parts = urllib.parse.urlsplit(self.path)
            if not parts.path.endswith("/logs"):
                body = b'{"ApiVersion": "1.44"}' if parts.path.endswith("version") else b"OK"
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            server.asked.append((parts.path.partition("/tasks/")[2], dict(urllib.parse.parse_qsl(parts.query))))
            self.send_response(server.status)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in server.pieces:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
            if server.hang:
                server.over.wait(10)
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.status, server.pieces, server.hang, server.asked, server.over = 200, [], False, [], threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(name="said")
def _said():
    return []


@pytest.fixture(name="logs")
def _logs(docker, said):
    return SwarmLogs(FakeSwarm(), said.append, silence=0.3)


def test_copies_are_told_apart_by_service_number_and_host(logs):
    assert logs.sources() == [API, LogSource("t2", "consul", "consul@host-2", running=False)]


def test_a_log_is_what_its_frames_hold_however_they_are_cut(docker, logs, said):
    whole = frame(1, b"T1 one\n") + frame(2, b"T2 two\n")
    docker.pieces = [whole[:5], whole[5:12], whole[12:]]
    assert list(logs.frames(API, since=12.5, tail=3)) == [b"T1 one\n", b"T2 two\n"]
    wish = {"stdout": "1", "stderr": "1", "timestamps": "1", "follow": "0", "tail": "3", "since": "12.500000000"}
    assert docker.asked == [("t1/logs", wish)]
    assert said == []


def test_what_docker_could_not_get_is_said_and_is_no_line(docker, logs, said):
    docker.pieces = [frame(1, b"T1 one\n"), frame(3, b"Error grabbing logs: node x is not available\n")]
    assert list(logs.frames(API)) == [b"T1 one\n"]
    assert list(logs.frames(API)) == [b"T1 one\n"]
    assert said == ["api-1@host-1: Docker does not give out all of its log: node x is not available"]


def test_a_host_that_is_away_is_not_asked(docker, logs, said):
    logs.sources()
    assert list(logs.frames(CONSUL)) == []
    assert said == ["host-2 is away: what ran there is not shown."]
    assert docker.asked == []


def test_a_host_that_hangs_is_waited_for_once(docker, logs, said):
    docker.pieces, docker.hang = [frame(1, b"T1 one\n")], True
    assert list(logs.frames(API)) == [b"T1 one\n"]
    assert list(logs.frames(API)) == []
    assert said == ["host-1 does not hand out its logs: what ran there is not shown whole."]
    assert len(docker.asked) == 1


def test_a_followed_log_without_news_is_to_be_asked_for_anew(docker, logs, said, monkeypatch):
    monkeypatch.setattr("provision.adapters.docker.swarm_logs._QUIET", 2)
    docker.pieces, docker.hang = [frame(1, b"T1 one\n")], True
    assert list(logs.frames(API, follow=True)) == [b"T1 one\n"]
    assert list(logs.frames(API, follow=True)) == [b"T1 one\n"]
    assert (len(docker.asked), said) == (2, [])


def test_a_copy_that_is_forgotten_has_no_log_and_a_refusal_is_said(docker, logs):
    docker.status = 404
    assert list(logs.frames(OLD)) == []
    docker.status = 500
    with pytest.raises(ProvisionError, match="Docker refused"):
        list(logs.frames(OLD))
