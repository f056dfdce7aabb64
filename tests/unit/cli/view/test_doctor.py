"""`provision doctor`: what it prints, its exit codes, and when it runs a job."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from provision.cli.main import cli
from provision.cli.view import doctor as module
from provision.model.finding import Finding

FINDING = Finding("units", "spark-worker on a-worker-1", "is masked", "Unmask it.", ("systemctl: \x1b[31mmasked",))


@pytest.fixture
def finds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found, asked = [], []

    def findings(spec, source, *, job):
        asked.append((spec.name, job))
        return found

    monkeypatch.setattr(module, "_findings", findings)
    return found, asked


def invoke(*words):
    result = CliRunner().invoke(cli, ["doctor", *words], catch_exceptions=False, standalone_mode=False)
    return result.return_value, result.output


def test_a_cluster_that_is_well_is_said_to_be(finds):
    assert invoke() == (0, "No problem found.\n")
    code, output = invoke("--json", "--job")
    assert (code, json.loads(output)) == (0, {"healthy": True, "findings": []})
    assert finds[1] == [("analytics", False), ("analytics", True)]


def test_problems_are_shown_with_what_was_seen(finds):
    finds[0].append(FINDING)
    assert invoke() == (
        1,
        "1. spark-worker on a-worker-1: is masked.\n   Unmask it.\n   | systemctl: \\x1b[31mmasked\n",
    )
    code, output = invoke("--json")
    assert code == 1
    assert json.loads(output)["findings"][0]["evidence"] == ["systemctl: \x1b[31mmasked"]


@pytest.mark.parametrize(("found", "job", "ran"), [([], True, True), ([], False, False), ([FINDING], True, False)])
def test_a_job_runs_only_where_nothing_is_wrong_and_it_was_asked_for(monkeypatch, found, job, ran):
    from provision.adapters.openstack import cloud
    from provision.model.doctor import rules
    from provision.operations.doctor import examine
    from provision.operations.doctor import job as job_module

    jobs = []
    monkeypatch.setattr(cloud, "connect", lambda *_: "cloud")
    monkeypatch.setattr(examine, "examine", lambda *_: "seen")
    monkeypatch.setattr(rules, "diagnose", lambda _: list(found))
    monkeypatch.setattr(job_module, "run_job", lambda *_: jobs.append(1) or [])
    from provision.base.model import ClusterSpec

    assert module._findings(ClusterSpec("a"), "x", job=job) == found
    assert bool(jobs) == ran
