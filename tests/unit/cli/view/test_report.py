"""`provision report`: where the page goes, and what is refused."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from provision.adapters.openstack import cloud as clouds
from provision.base.errors import UsageError
from provision.cli.view.report import report
from provision.operations.cluster import nodes, verify
from provision.operations.view import report as operation


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Works in an empty folder; returns the checks that each report was made with."""
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr(clouds, "connect", lambda *_: "cloud")
    monkeypatch.setattr(nodes, "find_live_cluster", lambda *_: "cluster")
    monkeypatch.setattr(verify, "verify", lambda cluster, progress: f"checks of the {cluster}")

    def make(cloud, spec, source, progress, checks):
        asked.append(checks)
        return "<html>ü\n"

    monkeypatch.setattr(operation, "report", make)
    return asked


def invoke(*words):
    return CliRunner().invoke(report, words, catch_exceptions=False)


def test_it_is_a_file_named_after_the_cluster(asked, tmp_path):
    done = invoke()
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "Wrote analytics-report.html.\n")
    assert (tmp_path / "analytics-report.html").read_text() == "<html>ü\n"
    assert asked == [None]


def test_it_may_be_another_file_or_stdout(asked, tmp_path):
    invoke("-o", "x.html")
    assert (tmp_path / "x.html").exists()
    assert invoke("-o", "-").stdout == "<html>ü\n"


def test_the_checks_run_when_they_are_asked_for(asked):
    invoke("--verify")
    assert asked == ["checks of the cluster"]


def test_a_folder_that_is_not_there_is_refused_before_anything_is_asked(asked):
    with pytest.raises(UsageError, match="no folder none"):
        invoke("-o", "none/x.html")
    assert asked == []


def test_a_file_that_cannot_be_written_says_so(asked, tmp_path):
    (tmp_path / "x.html").mkdir()
    assert invoke("-o", "x.html").exit_code == 2
    assert asked == []
