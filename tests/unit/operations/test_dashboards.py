"""Asking for dashboards: figures at a moment, charts over a time, and what is shown when nobody answers."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.monitoring.dashboards import CLOUD
from provision.model.monitoring.panels import WINDOW
from provision.operations import dashboards

ALERT = {
    "name": "HypervisorAgentDown",
    "state": "firing",
    "activeAt": "2026-11-28T11:00:15Z",
    "expression": "x == 0",
    "annotations": {"where": "nova-compute on compute-1", "wrong": "is down", "do": "Start it."},
}


class FakeStore:
    """A store that answers every question with one series, or raises `error`."""

    def __init__(self, error=None):
        self.error, self.asked, self.ranges = error, [], []

    def query(self, text):
        if self.error:
            raise self.error
        self.asked.append(text)
        return {"resultType": "vector", "result": [{"metric": {"instance": "mariadb-1"}, "value": [0, "1"]}]}

    def query_range(self, text, start, end, step):
        self.ranges.append((text, end - start, step))
        return [{"metric": {"instance": "mariadb-1"}, "values": [[start, "1"], [end, "2"]]}]

    def alerts(self):
        return [ALERT]


def test_the_newest_figures_are_asked_for_at_this_moment():
    store = FakeStore()
    found = dashboards.newest(store, CLOUD)
    assert tuple(found) == CLOUD.panels()
    assert len(store.asked) == sum(len(panel.queries) for panel in CLOUD.panels())
    assert all(reading.series for reading in found.values())
    assert not any(WINDOW in text for text in store.asked)
    assert store.ranges == []


@pytest.mark.parametrize(("span", "length", "step"), [("1d", 86400, 720), ("", 3600, 30), ("<script>", 3600, 30)])
def test_the_page_has_charts_over_the_span_and_an_hour_for_a_wrong_one(span, length, step):
    store = FakeStore()
    status, html = dashboards.cloud_page(store, span, "/")
    assert status == 200
    assert "nova-compute on compute-1" in html
    assert html.count("<svg") == sum(len(section.panels) for section in CLOUD.sections if not section.figures)
    assert {(asked, each) for _, asked, each in store.ranges} == {(length, step)}
    assert not any(WINDOW in text for text, *_ in store.ranges)


def test_a_store_that_does_not_answer_is_a_page_that_says_so():
    status, html = dashboards.cloud_page(FakeStore(ProvisionError("monitoring does not answer")), "1h", "/")
    assert status == 503
    assert "monitoring does not answer" in html


def test_a_question_of_ours_that_is_wrong_is_no_page():
    with pytest.raises(UsageError):
        dashboards.cloud_page(FakeStore(UsageError("the query is wrong")), "1h", "/")


def test_horizon_s_page_asks_the_store_of_its_settings(monkeypatch):
    asked = []
    store = SimpleNamespace(at=lambda *words, **options: asked.append((words, options)) or FakeStore())
    monkeypatch.setattr(dashboards, "Metrics", store)
    status, html = dashboards.horizon_page("http://monitoring:8428", "provision", "secret", "6h", "/home/")
    assert status == 200
    assert 'href="/home/"' in html
    assert asked == [(("http://monitoring:8428", "provision", "secret"), {"timeout": 10})]


def test_the_command_line_does_without_the_pages_library():
    code = "import sys; sys.modules['pygal'] = None; import provision.operations.dashboards"
    subprocess.run([sys.executable, "-c", code], check=True)
