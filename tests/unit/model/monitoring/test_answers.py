"""What the store of metrics answers, as a person reads it."""

from __future__ import annotations

import pytest

from provision.model.finding import text
from provision.model.monitoring.answers import firing, series, targets


def alert(name, state="firing", since="2026-11-28T11:00:15Z"):
    words = {"where": f"the {name}", "wrong": "is down", "do": "Start it."}
    return {"name": name, "state": state, "activeAt": since, "annotations": words, "expression": "up == 0"}


def test_what_fires_is_a_finding_and_what_began_first_comes_first():
    found = firing([alert("late", since="2026-11-28T11:05:00Z"), alert("early"), alert("unsure", state="pending")])
    assert [finding.rule for finding in found] == ["early", "late"]
    assert text(found[:1]) == "1. the early: is down.\n   Start it.\n   | since 2026-11-28 11:00:15 UTC: up == 0"


def test_when_an_alert_began_is_said_in_utc_and_with_its_day():
    found = firing([alert("b", since="2026-11-29T00:30:15.123456789+02:00"), alert("a", since="2026-11-28T22:00:00Z")])
    assert [finding.evidence[0].partition(": ")[0] for finding in found] == [
        "since 2026-11-28 22:00:00 UTC",
        "since 2026-11-28 22:30:15 UTC",
    ]


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        ({"resultType": "scalar", "result": [0, "7"]}, ["7"]),
        ({"resultType": "vector", "result": []}, []),
        (
            {
                "resultType": "vector",
                "result": [
                    {"metric": {"__name__": "up", "job": "b", "instance": "two"}, "value": [0, "0"]},
                    {"metric": {"__name__": "up", "instance": "one", "zone": "z", "a": "1"}, "value": [0, "1"]},
                ],
            },
            ["up  one  a=1, zone=z  1", "up  two               0"],
        ),
        (
            {"resultType": "matrix", "result": [{"metric": {}, "values": [[0, "1"], [10, "2"]]}]},
            ["      2"],
        ),
    ],
)
def test_an_answer_is_written_in_columns(answer, lines):
    assert series(answer) == lines


def test_a_target_says_why_it_does_not_answer():
    found = [
        {"labels": {"job": "mariadb", "instance": "mariadb-1"}, "health": "up", "lastSamplesScraped": 12},
        {"labels": {"job": "host"}, "health": "down", "lastError": "no route", "lastSamplesScraped": 0},
        {"labels": {"job": "api", "instance": "glance"}, "health": "unknown"},
    ]
    assert targets(found) == [
        "job      instance   state          figures",
        "api      glance     not asked yet",
        "host                no route       0",
        "mariadb  mariadb-1  answers        12",
    ]
