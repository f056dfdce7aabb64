"""The folder of a run's data: its own, and gone when its process is, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from provision_data import at_home

HELPERS = Path(__file__).parents[3] / "examples"
RUN = """
import pathlib, sys
from provision_data import workspace
folder = workspace("counting", *sys.argv[1:])
(folder / "deep").mkdir()
(folder / "deep" / "data").write_text("1")
print(folder, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path):
    """Start programs that have a workspace in the home `tmp_path`, and wait; each is given with its folder."""
    started = []

    def start(*arguments):
        environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(HELPERS)}
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, *arguments], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        started.append(process)
        return process, Path(process.stdout.readline().decode().strip())

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_until_gone(folder):
    ends = time.monotonic() + 20
    while folder.exists():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_two_runs_have_folders_of_their_own(run, tmp_path):
    (_, first), (second, other) = run(), run()
    assert first != other
    assert {first.parent, other.parent} == {tmp_path / "examples-data"}
    assert first.name.startswith("counting-")
    assert first.stat().st_mode & 0o777 == 0o755
    second.communicate()
    wait_until_gone(other)
    assert (first / "deep" / "data").exists()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_killed_leaves_nothing(run, end):
    process, folder = run()
    assert folder.exists()
    process.send_signal(end)
    wait_until_gone(folder)


def test_another_place_is_in_the_home_unless_it_is_a_whole_path(run, tmp_path):
    assert run("pages/mine")[1].parent == tmp_path / "pages/mine"
    assert run(str(tmp_path / "shared"))[1].parent == tmp_path / "shared"


def test_paths_are_as_their_user_means_them(monkeypatch):
    monkeypatch.setenv("HOME", "/home/alice")
    assert [at_home(path) for path in ("a.csv", "~/a.csv", "/shared/a.csv")] == [
        Path("/home/alice/a.csv"),
        Path("/home/alice/a.csv"),
        Path("/shared/a.csv"),
    ]
