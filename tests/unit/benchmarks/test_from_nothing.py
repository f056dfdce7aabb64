"""What of tests/benchmarks/from_nothing.py needs no machine."""

from __future__ import annotations

from pathlib import Path

import boot
import from_nothing
import pytest


@pytest.fixture
def clones(monkeypatch) -> dict[str, Path]:
    """Two versions, each of which takes ten minutes and is seen to take a hundred seconds more."""
    monkeypatch.setattr(from_nothing, "make", lambda target, clone: 600.0)
    monkeypatch.setattr(boot, "look", lambda provision, cluster, state: boot.Boot((100, 110), 200))
    return {"before": Path("before"), "now": Path("now")}


@pytest.mark.parametrize("where", ["up", "look"])
def test_each_leaves_nothing_to_the_next_even_when_it_fails(clones, monkeypatch, where):
    done = []

    def fail(*_: object) -> boot.Boot:
        raise KeyboardInterrupt

    def make(target: str, clone: Path) -> float:
        done.append((target, clone.name))
        if (target, clone.name, where) == ("up", "now", "up"):
            raise KeyboardInterrupt
        if (target, clone.name, where) == ("up", "now", "look"):
            monkeypatch.setattr(boot, "look", fail)
        return 600.0

    monkeypatch.setattr(from_nothing, "make", make)
    with pytest.raises(KeyboardInterrupt):
        from_nothing.compete(clones, 1)
    assert done == [("up", "before"), ("clean", "before"), ("up", "now"), ("clean", "now")]


def test_versions_take_turns(clones, capsys):
    from_nothing.compete(clones, 2)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["before", "now", "now", "before"]


def test_each_run_has_all_that_is_timed(clones):
    assert [list(run.values()) for run in from_nothing.compete(clones, 1)["now"]] == [[600, 105, 200]]


def test_the_ratio_is_that_of_the_medians():
    found = {
        "before": [{from_nothing.UP: took} for took in (1000.0, 1200.0, 1100.0)],
        "now": [{from_nothing.UP: took} for took in (660.0, 600.0, 720.0)],
    }
    result = from_nothing.result(found, "abc1234", {})
    assert result.tables[0].rows == [[from_nothing.UP, "1100 s", "660 s", "0.60"]]
    assert "1000, 1200, 1100 s and 660, 600, 720 s" in result.text
    assert "medians of 3" in result.text
