"""What of tests/benchmarks/from_nothing.py needs no machine."""

from __future__ import annotations

from pathlib import Path

import from_nothing
import pytest


def test_each_leaves_nothing_to_the_next_even_when_it_fails(monkeypatch):
    done = []

    def make(target: str, clone: Path) -> float:
        done.append((target, clone.name))
        if (target, clone.name) == ("up", "now"):
            raise KeyboardInterrupt
        return 600.0

    monkeypatch.setattr(from_nothing, "make", make)
    with pytest.raises(KeyboardInterrupt):
        from_nothing.compete({"before": Path("before"), "now": Path("now")}, 1)
    assert done == [("up", "before"), ("clean", "before"), ("up", "now"), ("clean", "now")]


def test_the_ratio_is_that_of_the_medians():
    found = {"before": [1000.0, 1200.0, 1100.0], "now": [660.0, 600.0, 720.0]}
    before, now = from_nothing.result(found, "abc1234", {}).tables[0].rows
    assert (before[-1], now[-1]) == ("1.00", "0.60")
    assert now[1] == "11.0, 10.0, 12.0 min"
