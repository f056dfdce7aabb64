"""Entries as journalctl prints them, read by what nodes run; journalctl is a script here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from provision.adapters.onnode import journal as module
from provision.adapters.onnode.journal import entries, matches, read, text_of, unit_of

ENTRY = {
    "__CURSOR": "s=1;i=2",
    "__REALTIME_TIMESTAMP": "1772366400000007",
    "_PID": "444",
    "_SYSTEMD_UNIT": "spark-worker.service",
    "MESSAGE": "hello",
}


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("plain", "plain"),
        (None, ""),
        ([27, 91, 51, 109, 195, 169, 255], "\x1b[3mé\ufffd"),
        (["one", [116, 119, 111]], "one\ntwo"),
        ([], ""),
    ],
)
def test_a_message_is_text_whatever_it_is(message, text):
    assert text_of(message) == text


@pytest.mark.parametrize(
    ("fields", "unit"),
    [
        ({}, "spark-worker.service"),
        ({"_PID": "1", "_SYSTEMD_UNIT": "init.scope", "UNIT": "job-a.service"}, "job-a.service"),
        # Anybody may write these fields.
        ({"UNIT": "jupyterhub.service"}, "spark-worker.service"),
        ({"COREDUMP_UNIT": "jupyterhub.service", "_UID": "2001"}, "spark-worker.service"),
        ({"COREDUMP_UNIT": "notebook-alice.service", "_UID": "0"}, "notebook-alice.service"),
        ({"_SYSTEMD_UNIT": None}, "None"),
    ],
)
def test_an_entry_is_of_the_unit_that_it_is_about(fields, unit):
    assert unit_of(ENTRY | fields) == unit


def test_only_units_that_are_asked_for_are_told():
    lines = [json.dumps(ENTRY | more).encode() for more in ({}, {"_SYSTEMD_UNIT": "ssh.service"})]
    told = list(entries([*lines, b'{"MESS', b"{}\n"], ["spark-*.service"]))
    assert told == [{"at": 1772366400000007, "cursor": "s=1;i=2", "unit": "spark-worker.service", "text": "hello"}]


def test_units_to_come_are_matched_by_their_slices():
    assert matches(["spark-worker.service", "job-*.service"]) == [
        "_SYSTEMD_UNIT=spark-worker.service",
        "+",
        "_SYSTEMD_SLICE=notebooks.slice",
        "+",
        r"_SYSTEMD_SLICE=system-provision\x2dexecutor.slice",
        "+",
        "_PID=1",
    ]


@pytest.fixture
def journalctl(tmp_path):
    """A journalctl that prints one entry, whatever it is asked; returns it, and what was asked."""
    asked = tmp_path / "asked"
    script = tmp_path / "journalctl"
    script.write_text(f"#!/bin/sh\necho \"$@\" >>{asked}\ncat <<'END'\n{json.dumps(ENTRY)}\nEND\n")
    script.chmod(0o755)
    return [str(script)], lambda: asked.read_text().splitlines()


def run(command, **order):
    told = []
    read({"units": ["spark-*.service"], "since": None, "lines": None, "after": ""} | order, told.append, command)
    return told


def test_the_kept_entries_come_after_the_journals_end(journalctl):
    command, asked = journalctl
    told = run(command, since=1000.5, lines=7)
    assert [each.get("text") for each in told] == [None, "hello"]
    assert told[0] == {"cursor": "s=1;i=2"}
    assert asked() == ["--lines=1", "--unit=spark-*.service --since=@1000.500000 --lines=7"]


def test_it_goes_on_after_a_cursor(journalctl):
    command, asked = journalctl
    told = run(command, after="s=0", lines=7)
    assert told[0] == {"cursor": "s=0"}
    (line,) = asked()
    assert line.startswith("--follow --no-tail --after-cursor=s=0 _SYSTEMD_SLICE=notebooks.slice + ")


def test_an_empty_journal_has_no_end(tmp_path):
    assert run(["true"]) == [{"cursor": ""}]


def test_it_ends_with_the_other_side(tmp_path):
    # A journal in which nothing happens: no write fails that could tell.
    script = tmp_path / "journalctl"
    script.write_text("#!/bin/sh\necho $$ >$PIDS/pid\nexec sleep 600\n")
    script.chmod(0o755)
    order = {"units": [], "since": None, "lines": None, "after": "s=0"}
    program = f"import runpy\nmain = runpy.run_path({module.__file__!r})['main']\nmain({order!r})"
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PIDS": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert json.loads(process.stdout.readline()) == {"cursor": "s=0"}
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.01)
        process.stdin.close()
        assert process.wait(10) == -signal.SIGTERM
    child = int((tmp_path / "pid").read_text())
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        state = open(f"/proc/{child}/stat").read().split()[2]  # noqa: SIM115, PTH123
        assert state == "Z"
