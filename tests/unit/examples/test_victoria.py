"""A time series engine: what is sent to it, and what its answers mean. The door to it is `requests`."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import requests
from provision_data import victoria
from provision_data.lineprotocol import Point, decode

POINTS = [Point("Humidity", {"value": 52.0}, 1_468_157_799 + place, {"module_name": "Outdoors"}) for place in range(3)]


@pytest.fixture
def engine(monkeypatch):
    """An engine that answers `result`; returns what was asked of it."""
    asked = SimpleNamespace(bodies=[], queries=[], result=[{"value": [1, "3"]}])

    def post(url, data, timeout):
        asked.bodies.append((url, data.decode()))
        return SimpleNamespace(raise_for_status=lambda: None)

    def get(url, params, timeout):
        asked.queries.append((url, params))
        answer = {"data": {"result": asked.result}}
        return SimpleNamespace(raise_for_status=lambda: None, json=lambda: answer)

    monkeypatch.setattr(requests, "post", post)
    monkeypatch.setattr(requests, "get", get)
    return asked


def test_points_are_written_with_the_run_that_they_are_of(engine, monkeypatch):
    monkeypatch.setattr(victoria, "AT_ONCE", 2)
    victoria.write("http://a:8428", POINTS, "a-run")
    assert [url for url, _ in engine.bodies] == ["http://a:8428/write?precision=s&db=weather"] * 2
    written = [point for _, body in engine.bodies for point in decode(body)]
    assert [point.tags for point in written] == [{"module_name": "Outdoors", "run": "a-run"}] * 3
    assert [point.seconds for point in written] == [point.seconds for point in POINTS]


def test_only_what_is_of_the_run_is_counted(engine):
    assert victoria.count("http://a:8428", "a-run", 5, 40) == 3
    query = {"query": "sum(count_over_time({run='a-run'}[40d]))", "time": 5}
    assert engine.queries == [("http://a:8428/api/v1/query", query)]


def test_an_engine_that_keeps_nothing_of_that_time_is_told_how_to_be_started(engine):
    engine.result = []
    with pytest.raises(LookupError, match="-retentionPeriod=100y"):
        victoria.count("http://a:8428", "a-run", 5, 40)
