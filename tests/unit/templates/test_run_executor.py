"""The service on a worker that runs an executor as its user: whose token it takes, and how the request reaches it."""

from __future__ import annotations

import hashlib
import hmac
import importlib.machinery
import importlib.util
import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from provision.base.paths import TEMPLATES

if TYPE_CHECKING:
    from types import ModuleType

PROGRAMS = TEMPLATES / "image/files/usr/local/lib/provision"
KEY = "00ff" * 16


def load(name: str) -> ModuleType:
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(PROGRAMS / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


run_executor = load("run-executor")


def token(claim: str, key: str = KEY) -> str:
    return f"{claim}:{hmac.new(bytes.fromhex(key), claim.encode(), hashlib.sha256).hexdigest()}"


def test_a_token_names_its_user():
    assert run_executor.claim_of(token("alice:2001:2001"), KEY) == ["alice", "2001", "2001"]


@pytest.mark.parametrize(
    "forged",
    [
        token("alice:2001:2001", "ff00" * 16),
        token("alice:2001:2001").replace("alice", "bob"),
        token("alice:2001:2001").replace("2001", "2002", 1),
        "alice:2001:2001:",
        "alice",
        ":",
    ],
)
def test_a_token_that_the_cluster_did_not_make_is_refused(forged):
    with pytest.raises(run_executor.Refused, match="not valid"):
        run_executor.claim_of(forged, KEY)


def test_a_request_arrives_whole_with_its_pipes():
    # More than a socket takes at once: class paths and environments are long.
    request = {"argv": ["java", "x" * 300_000], "env": {"A": "é"}}
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    sender = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import json, os, socket, sys\n"
            "connection = socket.socket(fileno=int(sys.argv[1]))\n"
            "request = json.dumps({'argv': ['java', 'x' * 300_000], 'env': {'A': 'é'}}).encode() + b'\\n'\n"
            "sent = socket.send_fds(connection, [request], [int(sys.argv[2])] * 2)\n"
            "connection.sendall(request[sent:])\n",
            str(theirs.fileno()),
            str(writing),
        ],
        pass_fds=(theirs.fileno(), writing),
    )
    theirs.close()
    received, pipes = run_executor.receive(ours)
    assert received == request
    os.write(pipes[0], b"out")
    assert os.read(reading, 3) == b"out"
    assert sender.wait(10) == 0
    for descriptor in (*pipes, reading, writing):
        os.close(descriptor)
    ours.close()


def test_half_a_request_is_refused():
    ours, theirs = socket.socketpair()
    theirs.sendall(json.dumps({"argv": []}).encode())
    theirs.close()
    with pytest.raises(run_executor.Refused, match="not complete"):
        run_executor.receive(ours)
    ours.close()


def test_the_executor_ends_with_the_connection():
    ours, theirs = socket.socketpair()
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        theirs.close()
        assert run_executor.wait(child, ours) < 0
    ours.close()
