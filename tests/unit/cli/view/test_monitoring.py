"""`provision dashboards`, `alerts` and `metrics`, with a store that stands in for a cluster's."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from provision.base.errors import UsageError
from provision.cli.main import cli
from provision.cli.view import monitoring as commands
from provision.operations import monitoring

ALERT = {
    "name": "UnitDown",
    "state": "firing",
    "activeAt": "2026-11-28T11:00:15Z",
    "expression": "x == 1",
    "annotations": {"where": "spark-worker on a-worker-1", "wrong": "is stopped", "do": "Start it."},
}


class Store:
    """Answers every question with one series."""

    found = (ALERT,)

    def query(self, text):
        return {
            "resultType": "vector",
            "result": [{"metric": {"__name__": "up", "instance": "a-master"}, "value": [0, "1"]}],
        }

    def targets(self):
        return [{"labels": {"job": "node", "instance": "a-master"}, "health": "up", "lastSamplesScraped": 5}]

    def alerts(self):
        return list(self.found)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a command in a folder whose cluster.yaml turns monitoring on."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cluster.yaml").write_text("name: a\nmonitoring: true\n")
    monkeypatch.setattr(commands, "live_cluster", lambda spec, file: spec)

    @contextmanager
    def store(cluster):
        yield Store()

    monkeypatch.setattr(monitoring, "store", store)
    return lambda *words: CliRunner().invoke(cli, words)


def test_dashboards_show_the_newest_figures(run):
    done = run("dashboards")
    assert done.exit_code == 0
    assert done.output.startswith("At a glance:\n  Alerts: 1 (bad)\n")
    assert "a-master 1" in done.output
    (board,) = json.loads(run("dashboards", "--json").stdout).values()
    assert {"section": "At a glance", "panel": "Alerts", "unit": "count", "level": "bad", "series": {"": 1.0}} in board


def test_an_alert_is_told_as_the_doctor_tells_it_and_is_an_exit_code(run, monkeypatch):
    done = run("alerts")
    assert done.exit_code == 1
    assert done.output.startswith("1. spark-worker on a-worker-1: is stopped.\n   Start it.\n")
    assert json.loads(run("alerts", "--json").stdout)["firing"] == 1
    monkeypatch.setattr(Store, "found", ())
    assert (run("alerts").exit_code, run("alerts").output) == (0, "No alert fires.\n")


def test_metrics_are_asked_or_listed(run):
    assert "node  a-master  answers" in run("metrics").output
    assert run("metrics", "up").output.split() == ["up", "a-master", "1"]


def test_grafana_s_folder_needs_no_cluster(run, monkeypatch, tmp_path):
    monkeypatch.setattr(commands, "live_cluster", None)
    done = run("dashboards", "--grafana", "grafana")
    assert done.exit_code == 0, done.output
    assert "provision tunnel metrics" in done.stderr
    assert (tmp_path / "grafana/compose.yaml").exists()


@pytest.mark.parametrize("command", ["dashboards", "alerts", "metrics"])
def test_where_monitoring_is_off_no_cluster_is_looked_for(run, monkeypatch, tmp_path, command):
    (tmp_path / "cluster.yaml").write_text("name: a\n")
    monkeypatch.setattr(commands, "live_cluster", None)
    assert isinstance(run(command).exception, UsageError)
