"""`provision logs`: what is meant, how lines are printed, and what is refused."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from provision.base.errors import UsageError
from provision.base.model import ClusterSpec, Node
from provision.cli.view.logs import logs
from provision.model.logs import Line
from provision.operations.jobs import submit as operation
from provision.operations.jobs.submit import Job
from provision.operations.logs import nodes as journals

LINES = [
    Line("2026-03-01T12:00:00.000007000Z", "analytics-master", "one\ntwo", "jupyterhub"),
    Line("2026-03-01T12:00:01.000000000Z", "analytics-worker-1", "three", "spark-worker"),
]


def job(name, state="succeeded", code=0):
    return Job(name, "alice", "x.py", (), state, code, 1_700_000_000.0, 80.0)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A cluster of three nodes, one of them stopped; returns what was asked of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    nodes = [
        Node("analytics-master", "master", "10.0.0.1"),
        Node("analytics-worker-1", "worker", "10.0.0.2", status="ACTIVE"),
        Node("analytics-worker-2", "worker", "10.0.0.3", status="SHUTOFF"),
    ]
    cluster = SimpleNamespace(
        spec=ClusterSpec("analytics"),
        nodes=nodes,
        hub=nodes[0],
        ssh_config="x",
        cluster_dir=SimpleNamespace(secret_values=lambda: {"s3cr3t-s3cr3t"}),
    )
    asked = []
    monkeypatch.setattr("provision.operations.cluster.nodes.find_live_cluster", lambda spec, source, **_: cluster)
    monkeypatch.setattr(operation, "list_jobs", lambda master: [job("train-4"), job("worker-1")])

    def shown(master, name, output, *, to_the_end):
        asked.append((name, to_the_end))
        return job(name, "failed", 7)

    def read(remotes, query, secrets, tell):
        asked.append(([each.name for each in remotes], query, secrets))
        return (line for line in LINES if line.source in asked[-1][0])

    monkeypatch.setattr(operation, "logs", shown)
    monkeypatch.setattr(journals, "read_journals", read)
    return asked


def invoke(*words):
    return CliRunner().invoke(logs, words, catch_exceptions=False)


def test_every_line_has_its_time_node_and_unit(asked):
    done = invoke()
    assert done.stdout.splitlines() == [
        "2026-03-01 12:00:00 master   jupyterhub | one",
        "2026-03-01 12:00:00 master   jupyterhub | two",
        "2026-03-01 12:00:01 worker-1 spark-worker | three",
    ]
    assert done.stderr == "analytics-worker-2 is SHUTOFF: its log cannot be read.\n"
    ((nodes, query, secrets),) = asked
    assert nodes == ["analytics-master", "analytics-worker-1"]
    assert (query.since, query.lines, query.follow) == (None, 50, False)
    assert secrets == {"s3cr3t-s3cr3t"}


def test_a_line_may_be_json(asked):
    first, second = map(
        json.loads, invoke("--json", "--follow", "--since", "10min", "spark-worker").stdout.splitlines()
    )
    assert first["text"] == "one\ntwo"
    assert (second["node"], second["unit"]) == ("analytics-worker-1", "spark-worker")
    ((_, query, _),) = asked
    assert (query.units, query.lines, query.follow) == (("spark-worker.service",), None, True)
    assert query.since > 1_700_000_000


def test_no_line_says_so(asked, monkeypatch):
    monkeypatch.setattr(journals, "read_journals", lambda *_: iter(()))
    assert "No line was found" in invoke("jupyterhub").stderr


@pytest.mark.parametrize(("word", "name"), [("train-4", "train-4"), ("job-worker-1", "worker-1")])
def test_a_job_is_shown_as_it_was_printed(asked, word, name):
    assert invoke("--follow", word).exit_code == 7
    assert invoke(word).exit_code == 0
    assert asked == [(name, True), (name, False)]


def test_a_node_comes_before_a_job_of_its_name(asked):
    invoke("worker-1")
    assert asked[0][0] == ["analytics-worker-1"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("spark-wrker",), "no job, node or unit 'spark-wrker'"),
        (("train-4", "master"), "together with others"),
        (("train-4", "-n", "3"), "has no times"),
        (("--since", "soon"), "--since"),
    ],
)
def test_what_is_refused_changes_nothing_and_says_what_there_is(asked, words, error):
    with pytest.raises(UsageError, match=error) as refused:
        invoke(*words)
    assert asked == []
    if "wrker" in error:
        for there in ("analytics-worker-2", "spark-worker", "notebook-alice", "train-4"):
            assert there in refused.value.hint


def test_f_is_the_specs_file_and_not_follow(asked):
    with pytest.raises(UsageError, match="worker-1: there is no such file") as refused:
        invoke("-f", "worker-1")
    assert "write --follow" in refused.value.hint
    assert asked == []
