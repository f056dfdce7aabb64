"""What dashboards and alerts ask, against what the exporters gave when they were run: names and types of their metrics.

Each file in `recorded` is what Debian 13's program said to a job, without values. What depends on a live cloud, such as
queues that exist, is asked there (tests/e2e).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from provision.model.localcloud.monitoring.dashboards import DASHBOARDS
from provision.model.localcloud.monitoring.jobs import jobs
from provision.model.localcloud.monitoring.rules import alert_rules
from provision.model.localcloud.settings import Settings

RECORDED = {file.stem: file.read_text().splitlines() for file in (Path(__file__).parent / "recorded").glob("*.txt")}
TYPES = {
    name: kind
    for lines in RECORDED.values()
    for name, _, kind in (line.partition(" ") for line in lines if not line.startswith("#"))
}
# The store's and vmalert's own; and Consul's, which tests/integration/test_monitoring.py asks for.
OTHERS = {"up", "ALERTS", "consul_raft_applied_index"}
PANELS = [(panel.title, query.expr) for board in DASHBOARDS for panel in board.panels() for query in panel.queries]
ALERTS = [(rule.name, rule.expr) for rule in alert_rules(Settings(ha=True))]
# A name that is no label, no word of PromQL's and no text.
METRIC = re.compile(r"(?<![\w$\"])[a-zA-Z_]+(?![\w(]|\s*(?:=|!=|=~|!~)\s*\")")
WORDS = {"avg", "bool", "by", "count", "max", "min", "on", "or", "and", "sum", "without"}


def metrics(expr):
    """Name the metrics that an expression asks for."""
    bare = re.sub(r"\b(?:by|on|without) \([^)]*\)", "", re.sub(r'"[^"]*"', '""', expr))
    bare = re.sub(r"\[[^\]]*\]", "", bare)
    return {name for name in METRIC.findall(bare) if name not in WORDS}


@pytest.mark.parametrize(("title", "expr"), [*PANELS, *ALERTS])
def test_what_is_asked_was_given(title, expr):
    asked = metrics(expr)
    assert asked
    assert asked <= set(TYPES) | OTHERS


@pytest.mark.parametrize(("title", "expr"), PANELS)
def test_a_rate_is_of_what_only_grows(title, expr):
    for name in re.findall(r"rate\((\w+)", expr):
        assert TYPES.get(name, "counter") in ("counter", "untyped")


def test_each_job_was_recorded():
    assert set(RECORDED) == {job.name for job in jobs(Settings())} - {"consul"} | {"api"}


def test_metrics_are_told_from_labels_words_and_texts():
    expr = 'sum by (a) (label_replace(rate(b_total{c="d_e"}[5m]), "f", "$1", "g", "(.+)")) / on () h == bool 1'
    assert metrics(expr) == {"b_total", "h"}
