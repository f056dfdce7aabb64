"""What a node reaches, tried on this machine's loopback address."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time

import pytest

from provision.adapters.onnode import contact


@pytest.fixture
def closed():
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def daemon():
    """A daemon that answers with what it was asked, and its port."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            known = self.path != "/missing"
            self.send_response(200 if known else 404)
            self.end_headers()
            text = "plain" if self.path == "/text" else json.dumps({"token": self.headers.get("Authorization")})
            self.wfile.write(text.encode() if known else b"")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_each_port_has_its_word(closed):
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        # A queue that is full answers no more, as a firewall that drops.
        held = [socket.socket() for _ in range(3)]
        for each in held:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        ports = [listening.getsockname()[1], closed, full.getsockname()[1]]
        found = contact.reach([("127.0.0.1", port) for port in ports], 0.3)
        for each in held:
            each.close()
    assert [found[f"127.0.0.1:{port}"] for port in ports] == ["open", "refused", "silent"]


def test_many_ports_take_few_files_at_once(closed, monkeypatch):
    monkeypatch.setattr(contact, "_AT_ONCE", 2)
    made, real = [], socket.socket

    def count():
        made.append(real())
        assert sum(link.fileno() >= 0 for link in made) <= 2
        return made[-1]

    monkeypatch.setattr(contact.socket, "socket", count)
    found = contact.reach([(f"127.0.0.{n}", closed) for n in range(1, 8)], 3)
    assert found == {f"127.0.0.{n}:{closed}": "refused" for n in range(1, 8)}


def test_a_name_server_that_answers_anything_is_one(tmp_path, monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def answer():
            question, asker = server.recvfrom(512)
            server.sendto(question[:2] + b"\x81\x85" + question[4:], asker)  # refused

        threading.Thread(target=answer, daemon=True).start()
        real = socket.socket.connect
        port = server.getsockname()[1]

        def elsewhere(link, address):
            # Nobody answers at the second one.
            real(link, ("127.0.0.1", port if address[0] == "192.0.2.1" else 9))

        monkeypatch.setattr(socket.socket, "connect", elsewhere)
        (tmp_path / "resolv.conf").write_text("# x\nnameserver 192.0.2.1\nnameserver 192.0.2.2%eth0\noptions edns0\n")
        paths = [str(tmp_path / "missing"), str(tmp_path / "resolv.conf")]
        assert contact.name_servers(paths, 0.4) == {"192.0.2.1": True, "192.0.2.2": False}
    assert contact.name_servers([str(tmp_path / "missing")], 0.1) == {}


def test_names_are_looked_up():
    assert contact.resolves(["localhost", "no-such-name.invalid"]) == {
        "localhost": "127.0.0.1",
        "no-such-name.invalid": "",
    }


def test_answers_are_read_and_errors_worded(daemon, closed, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    base = f"http://127.0.0.1:{daemon}"
    assert contact.get(f"{base}/x", 5, "secret") == {"token": "token secret"}
    assert contact.get(f"{base}/x", 5) == {"token": None}
    assert contact.get(f"{base}/text", 5) == "plain"
    with pytest.raises(OSError, match="404") as caught:
        contact.get(f"{base}/missing", 5)
    assert contact.why(caught.value) == "it answers with 404 Not Found"
    with pytest.raises(OSError, match="refused") as caught:
        contact.get(f"http://127.0.0.1:{closed}/", 5)
    assert "Connection refused" in contact.why(caught.value)
    with pytest.raises(OSError, match="refused"):
        contact.served_certificate("127.0.0.1", closed, 5)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_an_answer_has_a_limit_in_all_and_not_for_each_byte(start):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(start)
                for _ in range(80):
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return
                    time.sleep(0.05)

        threading.Thread(target=drip, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(OSError, match="no answer within"):
            contact.get(f"http://127.0.0.1:{listener.getsockname()[1]}/x?y=z", 0.3)
        assert time.monotonic() - began < 2


def test_the_limit_counts_from_before_the_connection(daemon, monkeypatch):
    limits, real, connect = [], threading.Timer, contact.http.client.HTTPConnection.connect

    def slow(connection):
        time.sleep(0.3)
        connect(connection)

    monkeypatch.setattr(contact.http.client.HTTPConnection, "connect", slow)
    monkeypatch.setattr(contact.threading, "Timer", lambda left, *more: limits.append(left) or real(left, *more))
    contact.get(f"http://127.0.0.1:{daemon}/text", 5)
    assert limits[0] <= 4.7


def test_what_speaks_no_http_is_an_error_of_the_system_as_any_other():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"hello\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(OSError, match="speaks no HTTP: BadStatusLine"):
            contact.get(f"http://127.0.0.1:{listener.getsockname()[1]}/", 5)
