"""For how long a rule has to hold, by how often the store looks."""

from __future__ import annotations

import pytest

from provision.model.monitoring.alert_rule import AlertRule, gathered, nothing_gathered


@pytest.mark.parametrize(
    ("lasts", "every", "longer"),
    [("10s", 10, "10s"), ("10s", 60, "60s"), ("20s", 12, "24s"), ("1m", 30, "90s"), ("2m", 30, "2m"), ("0s", 60, "0s")],
)
def test_a_rule_holds_for_as_many_looks_as_before_three_at_most(lasts, every, longer):
    assert AlertRule("A", "up == 0", lasts, "", "", "").looked_at(every).lasts == longer


@pytest.mark.parametrize(("every", "over"), [(10, "1m"), (20, "1m"), (60, "180s")])
def test_nothing_is_gathered_where_three_looks_have_brought_nothing(every, over):
    assert gathered(every) == f"count_over_time(up[{over}])"
    assert nothing_gathered("Look.", every).expr == f"absent({gathered(every)})"
