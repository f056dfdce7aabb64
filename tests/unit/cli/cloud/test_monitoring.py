"""The commands of monitoring: what they print, how they end, and that data is not removed without a word."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from provision.base.errors import UsageError
from provision.cli.cloud import monitoring

ALERT = {
    "name": "HypervisorAgentDown",
    "state": "firing",
    "activeAt": "2026-11-28T11:00:15Z",
    "expression": "x == 0",
    "annotations": {"where": "nova-compute on compute-1", "wrong": "is down", "do": "Start it."},
}


class FakeCloud:
    """A local cloud with monitoring, on or off; it is its own store of metrics."""

    def __init__(self):
        self.log, self.found = [], []

    def enable_monitoring(self, progress):
        self.log.append("enable")

    def disable_monitoring(self, progress, *, purge):
        self.log.append(f"disable {purge}")

    def metrics(self):
        return self

    def alerts(self):
        return self.found

    def targets(self):
        return [{"labels": {"job": "host", "instance": "host-1"}, "health": "up", "lastSamplesScraped": 3}]

    def write_grafana(self, folder):
        self.log.append(f"grafana {folder}")

    def query(self, text):
        found = [] if text == "nothing" else [{"metric": {"__name__": text}, "value": [0, "1"]}]
        return {"resultType": "vector", "result": found}


@pytest.fixture
def cloud(monkeypatch):
    cloud = FakeCloud()
    monkeypatch.setattr(monitoring, "local_cloud", lambda: cloud)
    return cloud


def run(command, *words):
    return CliRunner().invoke(command, words, catch_exceptions=False)


def test_on_and_off(cloud):
    assert run(monitoring.enable, "monitoring").exit_code == 0
    assert run(monitoring.disable, "monitoring").exit_code == 0
    assert run(monitoring.disable, "monitoring", "--purge", "--yes").exit_code == 0
    assert cloud.log == ["enable", "disable False", "disable True"]
    assert run(monitoring.enable, "horizon").exit_code == 2


def test_what_was_gathered_is_removed_only_when_somebody_says_so(cloud):
    with pytest.raises(UsageError, match="removes all that monitoring has gathered"):
        run(monitoring.disable, "monitoring", "--purge")
    assert cloud.log == []


def test_no_alert_is_a_success(cloud):
    cloud.found = [ALERT | {"state": "pending"}]
    done = run(monitoring.alerts)
    assert (done.exit_code, done.stdout) == (0, "No alert fires.\n")
    assert json.loads(run(monitoring.alerts, "--json").stdout)["firing"] == 0


def test_an_alert_that_fires_says_what_to_do_and_is_an_exit_code(cloud):
    cloud.found = [ALERT]
    done = run(monitoring.alerts)
    assert done.exit_code == 1
    assert done.stdout.startswith("1. nova-compute on compute-1: is down.\n   Start it.\n")
    assert json.loads(run(monitoring.alerts, "--json").stdout)["firing"] == 1


def test_metrics_are_shown_by_query_and_without_one_where_they_come_from(cloud):
    assert run(monitoring.metrics).stdout == "job   instance  state    figures\nhost  host-1    answers  3\n"
    assert run(monitoring.metrics, "up").stdout.split() == ["up", "1"]
    assert json.loads(run(monitoring.metrics, "up", "--json").stdout)[0]["metric"] == {"__name__": "up"}
    none = run(monitoring.metrics, "nothing")
    assert (none.exit_code, none.stdout) == (0, "")
    assert none.stderr == "Nothing has these metrics at this moment.\n"


def test_dashboards_are_shown_as_text_and_written_for_grafana(cloud, tmp_path):
    shown = run(monitoring.dashboards).stdout
    assert shown.startswith("At a glance:\n  Alerts: 1 (bad)\n")
    assert "\nDatabase:\n" in shown
    (panels,) = json.loads(run(monitoring.dashboards, "--json").stdout).values()
    assert panels[0] == {
        "section": "At a glance",
        "panel": "Alerts",
        "unit": "count",
        "level": "bad",
        "series": {"": 1.0},
    }
    assert cloud.log == []
    done = run(monitoring.dashboards, "--grafana", str(tmp_path))
    assert (done.stdout, cloud.log) == ("", [f"grafana {tmp_path}"])
    assert f"Wrote {tmp_path}:" in done.stderr
