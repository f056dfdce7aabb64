"""What dashboards are made of."""

from __future__ import annotations

import pytest

from provision.model.monitoring.panels import WINDOW, Level, PanelLimits, PanelQuery


def test_a_rate_is_taken_over_the_time_that_is_asked_for():
    query = PanelQuery(f"rate(a[{WINDOW}]) / rate(b[{WINDOW}])", "")
    assert query.over("90s") == "rate(a[90s]) / rate(b[90s])"


@pytest.mark.parametrize(
    ("limits", "levels"),
    [
        (PanelLimits(0.8, 0.95), {0.7: Level.GOOD, 0.8: Level.WARN, 0.95: Level.BAD}),
        (PanelLimits(1, 1), {0: Level.GOOD, 1: Level.BAD}),
        (PanelLimits(0.2, 0.1, falling=True), {0.3: Level.GOOD, 0.2: Level.GOOD, 0.15: Level.WARN, 0.05: Level.BAD}),
        (PanelLimits(1, 1, falling=True), {0: Level.BAD, 1: Level.GOOD}),
    ],
)
def test_limits_judge_from_below_and_from_above(limits, levels):
    assert {value: limits.level(value) for value in levels} == levels
