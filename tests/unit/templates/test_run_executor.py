"""The service on a worker that runs an executor as its user: whose token it takes, and how the request reaches it."""

from __future__ import annotations

import grp
import hashlib
import hmac
import json
import os
import pwd
import socket
import subprocess
import sys

import pytest

from .node_programs import PROGRAMS, load

KEY = "00ff" * 16


run_executor = load("run-executor")


def token(claim: str, key: str = KEY) -> str:
    return f"{claim}:{hmac.new(bytes.fromhex(key), claim.encode(), hashlib.sha256).hexdigest()}"


def test_a_token_names_its_user():
    assert run_executor.claim_of(token("alice:2001:2001:"), KEY) == ["alice", "2001", "2001", ""]


@pytest.fixture
def node(monkeypatch, tmp_path):
    """A worker that knows alice and the group `lab`; returns the groups that it makes."""
    (tmp_path / "key").write_text(KEY)
    monkeypatch.setattr(run_executor, "KEY", str(tmp_path / "key"))
    people = {"alice": (2001, 2001), "spark-guest": (999, 999)}
    monkeypatch.setattr(run_executor.pwd, "getpwnam", lambda name: struct_passwd(name, *people[name]))
    monkeypatch.setattr(run_executor.grp, "getgrgid", {10002: "lab"}.__getitem__)
    made = []
    monkeypatch.setattr(run_executor.subprocess, "run", lambda argv, **_options: made.append(argv))
    return made


def struct_passwd(name, uid, gid):
    return pwd.struct_passwd((name, "x", uid, gid, "", f"/home/{name}", "/bin/sh"))


def test_an_executor_has_its_users_groups(node):
    account, groups = run_executor.user_of(token("alice:2001:2001:team=10001,lab=10002"))
    assert (account.pw_name, groups) == ("alice", [10001, 10002])
    assert node == [["/usr/sbin/groupadd", "--gid", "10001", "team"]]


def test_an_executor_of_nobody_has_none(node):
    account, groups = run_executor.user_of("")
    assert (account.pw_name, groups) == ("spark-guest", [])
    with pytest.raises(run_executor.Refused, match="number 2001 on this node"):
        run_executor.user_of(token("alice:2002:2001:"))


def test_the_master_makes_what_workers_take(node, monkeypatch, tmp_path):
    """user-token writes the users' own groups; those of the system stay on the master."""
    program = (PROGRAMS / "user-token").read_text()
    everywhere = {2001: "alice", 10001: "team", 10002: "lab", 990: "spark", 991: "notebook"}
    text = program.replace('"/etc/spark/executor.key"', repr(str(tmp_path / "key"))).replace(
        '"/run/spark/users"', repr(str(tmp_path / "users"))
    )
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [2001, 990, 991, 10002, 10001])
    monkeypatch.setattr(os, "fchown", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["user-token", "alice"])
    monkeypatch.setattr(run_executor.grp, "getgrgid", lambda gid: grp.struct_group((everywhere[gid], "x", gid, [])))
    exec(compile(text, "user-token", "exec"), {})
    written = (tmp_path / "users/2001").read_text()
    proof = written.removeprefix("-Dspark.executorEnv.PROVISION_USER_TOKEN=").rstrip("\n")
    assert run_executor.claim_of(proof, KEY) == ["alice", "2001", "2001", "team=10001,lab=10002"]


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
