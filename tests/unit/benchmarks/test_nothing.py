from __future__ import annotations

import nothing
import pytest
from nothing import Run

OWN, BARE = Run(1.1, 0.9, 16, 11, 0), Run(1.0, 0.6, 15, 0, 0)


@pytest.mark.parametrize(
    ("title", "seconds", "slow"),
    [("another cloud", 1.5, False), ("another cloud", 1.6, True), ("local", 2.9, False), ("local", 3.1, True)],
)
def test_what_is_too_slow(title, seconds, slow):
    assert nothing.too_slow(title, OWN._replace(seconds=seconds), BARE) == slow


def test_what_is_kept():
    found = {"another cloud": {"plan": (OWN, BARE), "status": (OWN._replace(docker=0), BARE)}}
    kept = nothing.result(found, {"load": 0}, 3)
    assert kept.command.endswith("nothing.py 3")
    assert kept.tables[0].rows[0] == ["the listing, another cloud", "1.0 s", "", "15", "", "0.6 s"]
    assert kept.tables[0].rows[1] == ["`plan`, another cloud", "1.10 times", "+0.1 s", "16", "11", "0.9 s"]
    assert kept.charts[0].series == {"another cloud": {"plan": 1.1, "status": 1.1}}
