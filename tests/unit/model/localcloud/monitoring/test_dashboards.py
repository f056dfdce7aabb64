"""The dashboards' definition: what each panel asks is gathered, and its limits are those of the alerts."""

from __future__ import annotations

import re

import pytest

from provision.model.localcloud.doctor.host_rules import EXPIRES
from provision.model.localcloud.monitoring.dashboards import CLOUD, DASHBOARDS
from provision.model.localcloud.monitoring.jobs import jobs
from provision.model.localcloud.settings import Settings
from provision.model.monitoring.panels import Level

PANELS = [(section, panel) for board in DASHBOARDS for section in board.sections for panel in section.panels]
QUERIES = [(panel, query) for _, panel in PANELS for query in panel.queries]
# Who gives metrics with such a name; a name that nobody gives is found on a live cloud (tests/e2e).
FAMILIES = {
    "haproxy": "haproxy",
    "rabbitmq": "rabbitmq",
    "rabbitmq_detailed": "rabbitmq-queues",
    "mysql": "mariadb",
    "consul": "consul",
    "node": "host",
}
ALWAYS = {"probe", "up", "ALERTS"}
METRIC = re.compile(r"\b(haproxy|rabbitmq_detailed|rabbitmq|mysql|consul|node|probe|up|ALERTS)(?=[_{\s=]|$)")


@pytest.mark.parametrize(("panel", "query"), QUERIES, ids=lambda each: getattr(each, "title", None))
def test_what_is_asked_is_gathered(panel, query):
    found = set(METRIC.findall(query.expr))
    assert found
    gathered = {job.name for job in jobs(Settings())}
    assert {FAMILIES[family] for family in found - ALWAYS} <= gathered
    for opening, closing in ("()", "{}", "[]"):
        assert query.expr.count(opening) == query.expr.count(closing)


@pytest.mark.parametrize(("section", "panel"), PANELS, ids=lambda each: each.title)
def test_a_figure_has_one_series_and_each_line_of_a_chart_a_name(section, panel):
    legends = [query.legend for query in panel.queries]
    if section.figures:
        assert legends == [""]
    else:
        assert all(legends)
        assert len(set(legends)) == len(legends)
    for query in panel.queries:
        for label in re.findall(r"\{\{(\w+)\}\}", query.legend):
            # Where series are put together, the label is one that is left.
            assert label == "instance" or f"by ({label})" in query.expr


def test_no_title_is_used_twice_in_a_section_or_a_dashboard():
    for board in DASHBOARDS:
        titles = [(section.title, panel.title) for section in board.sections for panel in section.panels]
        assert len(set(titles)) == len(titles)
        assert len({section.title for section in board.sections}) == len(board.sections)
        # A panel is a key.
        assert len(set(board.panels())) == len(titles)


def test_what_warns_is_what_an_alert_is_about():
    (certificate,) = (panel for panel in CLOUD.panels() if panel.title == "Certificate")
    assert certificate.limits.level(EXPIRES * 86400 - 1) is not Level.GOOD
