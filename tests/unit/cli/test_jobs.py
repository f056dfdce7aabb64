"""The commands for submitted programs: their arguments, what they print, their exit codes, and what they refuse."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from provision.base.errors import UsageError
from provision.cli.jobs import jobs, kill, submit
from provision.operations.jobs import submit as operation
from provision.operations.jobs.submit import Job

LIMITS = {"memory": 700, "tasks": 500, "cores": None}


def job(state="succeeded", code=0):
    return Job("count-1", "alice", "count.py", (), state, code, 1_700_000_000.0, 80.0)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """The tests run in a folder with count.py; returns what was asked of the operation."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "count.py").touch()
    cluster = SimpleNamespace(
        hub_context={"hub": {"limits": LIMITS}},
        ssh_config=tmp_path / "ssh_config",
        hub=SimpleNamespace(name="analytics-master"),
    )
    monkeypatch.setattr("provision.operations.cluster.nodes.find_live_cluster", lambda spec, source, **_: cluster)
    asked = []

    def submitted(master, program, limits, told, output):
        asked.append((program, output is None))
        told("count-1")
        return None if output is None else job("failed", 7)

    monkeypatch.setattr(operation, "submit", submitted)
    monkeypatch.setattr(operation, "list_jobs", lambda master: [job(), job("failed", 7), job("running", None)])
    monkeypatch.setattr(operation, "kill", lambda master, name: job("ended", None))
    return asked


def invoke(command, *words):
    return CliRunner().invoke(command, words, catch_exceptions=False)


def test_a_programs_words_are_its_own_and_so_is_the_code(asked):
    done = invoke(submit, "--conf", "spark.a=b", "count.py", "--top", "20", "--conf", "x", "--", "-y")
    assert done.exit_code == 7
    assert done.stderr == "count-1 runs as alice.\n"
    ((program, _),) = asked
    assert (program.user, program.conf) == ("alice", ("spark.a=b",))
    assert program.arguments == ("--top", "20", "--conf", "x", "--", "-y")


def test_detached_it_prints_the_name_alone(asked):
    done = invoke(submit, "--detach", "count.py")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "count-1\n", "")


def test_which_user_has_to_be_clear(asked, tmp_path):
    (tmp_path / "cluster.yaml").write_text("name: a\nhub: {users: [alice, bob]}\n")
    with pytest.raises(UsageError, match="as which user"):
        invoke(submit, "count.py")
    with pytest.raises(UsageError, match="no user 'carol'"):
        invoke(submit, "--as", "carol", "count.py")
    assert asked == []
    assert invoke(submit, "--as", "bob", "--detach", "count.py").exit_code == 0


def test_a_file_that_is_not_there(asked):
    assert invoke(submit, "no.py").exit_code == 2


def test_jobs_are_a_table_or_json(asked):
    lines = invoke(jobs).stdout.splitlines()
    assert [line.split()[0:3] for line in lines] == [
        ["JOB", "USER", "STATE"],
        ["count-1", "alice", "succeeded"],
        ["count-1", "alice", "failed"],
        ["count-1", "alice", "running"],
    ]
    assert "failed (7)" in lines[2]
    assert [each["code"] for each in json.loads(invoke(jobs, "--json").stdout)] == [0, 7, None]


def test_no_job_yet(asked, monkeypatch):
    monkeypatch.setattr(operation, "list_jobs", lambda master: [])
    assert "provision submit" in invoke(jobs).stdout


def test_a_job_that_was_ended_says_so(asked, monkeypatch):
    monkeypatch.setattr(operation, "submit", lambda *_: job("ended", None))
    done = invoke(submit, "count.py")
    assert done.exit_code == 1
    assert "count-1 was ended" in done.stderr
    assert "the disk was so full" in " ".join(done.stderr.split())
    assert invoke(kill, "count-1").stdout == "count-1: ended.\n"


def test_a_driver_that_the_kernel_has_killed(asked, monkeypatch):
    monkeypatch.setattr(operation, "submit", lambda *_: job("failed", 137))
    done = invoke(submit, "count.py")
    assert done.exit_code == 137
    assert "hub.limits.memory" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("data.csv",), "data.csv is no Python program"),
        (("--conf", "foo", "count.py"), "--conf foo: that is no setting of Spark's"),
    ],
)
def test_what_is_wrong_here_is_said_before_the_cloud_is_asked(asked, tmp_path, monkeypatch, words, said):
    (tmp_path / "data.csv").touch()
    monkeypatch.setattr("provision.operations.cluster.nodes.find_live_cluster", lambda *_: pytest.fail("it was asked"))
    with pytest.raises(UsageError, match=said):
        invoke(submit, *words)
