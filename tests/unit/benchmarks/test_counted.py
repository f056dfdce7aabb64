from __future__ import annotations

import os
import sys
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer

import pytest
from counted import POLL, Took, middle, read, run


@pytest.mark.parametrize(
    ("request_line", "poll"),
    [
        ("GET /v2.1/servers?status=BUILD", True),
        ("GET /v2.1/servers/detail", True),
        ("GET /v2.1/servers/detail?marker=abc", True),
        ("GET /v2.1/servers/0a1b", True),
        ("POST /v2.1/servers/0a1b/action", True),
        ("POST /v2.1/servers", False),
        ("DELETE /v2.1/servers/0a1b", False),
        ("GET /v2.1/os-server-groups", False),
        ("POST /v2.1/servers/0a1b/metadata", False),
        ("GET /v2.0/ports?network_id=n", False),
    ],
)
def test_what_is_a_poll(request_line, poll):
    assert bool(POLL.match(request_line)) == poll


def test_notes_of_several_processes_are_one_run():
    lines = ["POST /v3/auth/tokens", "memory 1000", "GET /v2.1/servers?status=BUILD", "memory 3000", ""]
    took = read(lines, 12.5, 3.5)
    assert took == Took(12.5, 3.5, 3.072, 2, 1)
    assert took.other == 1


def test_the_middle_is_the_median_of_each_figure():
    assert middle([Took(1, 9, 5, 7, 2), Took(2, 1, 6, 8, 2), Took(9, 2, 1, 9, 5)]) == Took(2, 2, 5, 8, 2)


def test_a_program_and_what_it_starts_are_counted(tmp_path):
    class Empty(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = TCPServer(("127.0.0.1", 0), Empty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/servers"
    ask = f"import urllib.request as u; u.build_opener(u.ProxyHandler({{}})).open({url!r})"
    program = f"import subprocess, sys; {ask}; subprocess.run([sys.executable, '-c', sys.argv[1]]); print('done')"
    took, said = run([sys.executable, "-c", program, ask], folder=tmp_path, environment=dict(os.environ))
    server.shutdown()
    assert said == "done\n"
    assert (took.requests, took.polls) == (2, 2)
    assert 0 < took.cpu < 60
    assert 5 < took.memory < 500


def test_a_program_that_fails_ends_it_with_its_last_lines(tmp_path):
    words = [sys.executable, "-c", "import sys; print('no room'); sys.exit(3)"]
    with pytest.raises(SystemExit, match=r"ended with 3:\nno room"):
        run(words, folder=tmp_path, environment=dict(os.environ))
    assert run(words, folder=tmp_path, environment=dict(os.environ), codes=(0, 3))[1] == "no room\n"
