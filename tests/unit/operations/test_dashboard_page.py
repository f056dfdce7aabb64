"""Asking for dashboards: figures at a moment, charts over a time, and what is shown when nobody answers."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.monitoring.dashboards import CLOUD
from provision.model.monitoring.panels import WINDOW
from provision.operations import dashboard_page as dashboards
from provision.operations import horizon_page, hub_page

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
    status, html = dashboards.dashboard_page(store, CLOUD, span, "/")
    assert status == 200
    assert "nova-compute on compute-1" in html
    assert html.count("<svg") == sum(len(section.panels) for section in CLOUD.sections if not section.figures)
    assert {(asked, each) for _, asked, each in store.ranges} == {(length, step)}
    assert not any(WINDOW in text for text, *_ in store.ranges)


def test_a_store_that_does_not_answer_is_a_page_that_says_so():
    status, html = dashboards.dashboard_page(FakeStore(ProvisionError("monitoring does not answer")), CLOUD, "1h", "/")
    assert status == 503
    assert "monitoring does not answer" in html


def test_a_question_of_ours_that_is_wrong_is_no_page():
    with pytest.raises(UsageError):
        dashboards.dashboard_page(FakeStore(UsageError("the query is wrong")), CLOUD, "1h", "/")


def test_horizon_s_page_asks_the_store_of_its_settings(monkeypatch):
    asked = []
    store = SimpleNamespace(at=lambda *words, **options: asked.append((words, options)) or FakeStore())
    monkeypatch.setattr(horizon_page, "Metrics", store)
    status, html = horizon_page.horizon_page("http://monitoring:8428", "provision", "secret", "6h", "/home/")
    assert status == 200
    assert 'href="/home/"' in html
    assert asked == [(("http://monitoring:8428", "provision", "secret"), {"timeout": 10})]


def test_the_hub_s_page_is_the_cluster_s_and_leads_back_to_the_hub(monkeypatch):
    asked = []
    store = SimpleNamespace(at=lambda url, **options: asked.append((url, options["timeout"])) or FakeStore())
    monkeypatch.setattr(hub_page, "Metrics", store)
    status, html = hub_page.hub_page("http://127.0.0.1:8429", "<a>", 10, "6h", "/hub/home")
    assert (status, asked) == (200, [("http://127.0.0.1:8429", 10)])
    assert '<a href="/hub/home">Hub</a>' in html
    assert "Cluster &lt;a&gt;" in html


def test_the_command_line_does_without_the_pages_library():
    code = "import sys; sys.modules['pygal'] = None; import provision.operations.dashboard_page"
    subprocess.run([sys.executable, "-c", code], check=True)
