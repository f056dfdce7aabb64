"""`provision doctor`: what it prints, its exit codes, and when it runs a job."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from provision.base.model import ClusterSpec
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


def test_no_secret_of_the_cluster_is_shown(monkeypatch):
    said = "java.lang.X: s3cr3t-of-spark, x.password=hidden-one"
    found = replace(FINDING, wrong=said, evidence=(said, "password: hunter22"))
    monkeypatch.setattr("provision.adapters.openstack.cloud.connect", lambda *_: "cloud")
    monkeypatch.setattr("provision.operations.doctor.examine.examine", lambda *_: "seen")
    monkeypatch.setattr("provision.model.doctor.rules.diagnose", lambda _: [found])
    kept = SimpleNamespace(secret_values=lambda: {"s3cr3t-of-spark"})
    monkeypatch.setattr("provision.operations.cluster.resolve.find_cluster_dir", lambda *_: kept)
    for words in ((), ("--json",)):
        code, output = invoke(*words)
        assert code == 1
        assert "***" in output
        assert not [secret for secret in ("s3cr3t", "hidden-one", "hunter22") if secret in output]


@pytest.mark.parametrize(("found", "job", "ran"), [([], True, True), ([], False, False), ([FINDING], True, False)])
def test_a_job_runs_only_where_nothing_is_wrong_and_it_was_asked_for(monkeypatch, found, job, ran):
    from provision.adapters.openstack import cloud
    from provision.model.doctor import rules
    from provision.operations.cluster import resolve
    from provision.operations.doctor import examine
    from provision.operations.doctor import job as job_module

    jobs = []
    monkeypatch.setattr(cloud, "connect", lambda *_: "cloud")
    monkeypatch.setattr(examine, "examine", lambda *_: "seen")
    monkeypatch.setattr(resolve, "find_cluster_dir", lambda *_: SimpleNamespace(secret_values=set))
    monkeypatch.setattr(rules, "diagnose", lambda _: list(found))
    monkeypatch.setattr(job_module, "run_job", lambda *_: jobs.append(1) or [])
    assert module._findings(ClusterSpec("a"), "x", job=job) == found
    assert bool(jobs) == ran
