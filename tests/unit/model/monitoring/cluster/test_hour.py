"""The last hour in figures."""

from __future__ import annotations

from provision.model.finding import Finding
from provision.model.monitoring.cluster.dashboards import HOUR
from provision.model.monitoring.cluster.hour import FIRED, hour
from provision.model.monitoring.readings import Reading, Series


def test_two_units_of_a_node_do_not_make_two_hours_of_one():
    assert FIRED.startswith("max by (alertname, instance) (count_over_time(")


def test_figures_are_summed_up_and_alerts_are_named():
    cores, *_ = HOUR
    readings = [Reading(cores, (Series("", ((0, 1.0), (30, 4.0), (60, 2.5))),)), Reading(HOUR[2], ())]
    fired = [
        {"metric": {"alertname": "UnitDown", "instance": "a-worker-1"}, "value": [0, "18"]},
        {"metric": {"alertname": "CertificateEnds"}, "value": [0, "1"]},
    ]
    found = hour(readings, [Finding("UnitDown", "spark-worker on a", "is stopped", "Start it.")], fired)
    assert found["figures"] == [
        {"what": "Cores in use", "least": "1", "mean": "2.5", "most": "4", "now": "2.5"},
        {"what": "Memory in use", "least": "", "mean": "", "most": "", "now": ""},
    ]
    assert found["firing"] == [{"where": "spark-worker on a", "wrong": "is stopped", "do": "Start it."}]
    assert found["fired"] == [
        {"what": "CertificateEnds", "time": "10 s"},
        {"what": "UnitDown a-worker-1", "time": "3 min"},
    ]
