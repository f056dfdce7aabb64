"""A cluster's dashboard: what each panel asks is gathered, and its limits are those of the alerts."""

from __future__ import annotations

import re

import pytest

from provision.model.doctor.words import EXPIRES, MEMORY_PART, ROOM
from provision.model.monitoring.cluster.dashboards import CLUSTER
from provision.model.monitoring.cluster.jobs import JOBS
from provision.model.monitoring.panels import Level

PANELS = [(section, panel) for section in CLUSTER.sections for panel in section.panels]
FAMILIES = {
    "metrics_worker": "spark-worker",
    "metrics_master": "spark-master",
    "spark_user": "spark-users",
    "hub": "spark-users",
    "jupyterhub": "hub",
    "node": "node",
}
METRIC = re.compile(r"\b(metrics_worker|metrics_master|spark_user|hub|jupyterhub|node)_\w+")


@pytest.mark.parametrize(("section", "panel"), PANELS, ids=lambda each: each.title)
def test_what_is_asked_is_gathered_and_named(section, panel):
    for query in panel.queries:
        found = set(METRIC.findall(query.expr))
        assert found or re.search(r"\b(up|ALERTS)\b", query.expr)
        assert {FAMILIES[family] for family in found} <= {job.name for job in JOBS}
        for opening, closing in ("()", "{}", "[]"):
            assert query.expr.count(opening) == query.expr.count(closing)
        for label in re.findall(r"\{\{(\w+)\}\}", query.legend):
            assert label == "instance" or f"by ({label})" in query.expr
    legends = [query.legend for query in panel.queries]
    assert legends == [""] if section.figures else all(legends)
    assert len(set(legends)) == len(legends)


def test_no_title_is_used_twice():
    titles = [(section.title, panel.title) for section, panel in PANELS]
    assert len(set(titles)) == len(titles)
    assert len(set(CLUSTER.panels())) == len(titles)


def test_what_is_bad_is_what_an_alert_is_about():
    found = {panel.title: panel.limits for section, panel in PANELS if section.figures}
    assert found["Memory left"].level(0.99 / MEMORY_PART) is Level.BAD
    assert found["Disk left"].level(ROOM - 1) is Level.BAD
    assert found["Certificate"].level(EXPIRES * 86400 - 1) is not Level.GOOD
    assert found["Workers away"].level(1) is Level.BAD


def test_a_cluster_s_dashboard_has_its_name():
    titled = CLUSTER.titled("Cluster a", 60)
    assert (titled.title, titled.every) == ("Cluster a", 60)
