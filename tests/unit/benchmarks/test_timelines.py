from __future__ import annotations

import pytest
from timelines import rows, timeline

GOLDEN = """\
  23:59:50 server small-master: create …
  23:59:51 server small-master: done
  23:59:52 server small-worker-1 to 2: create …
  23:59:55 small-master: booting
  23:59:55 small-worker-1: booting
  23:59:55 small-worker-2: booting
  00:00:50 small-worker-1: registered
  00:00:55 small-master: the Hub answers
  00:00:55 small-master: runs sum(range(1000))
  00:01:50 small-master: 499500, computed by 2 workers
"""
STOCK = """\
[  0:01]   10:00:00 server big-master: create …
[  0:09]   10:00:08 big-master: booting
[  0:19]   10:00:20 big-master: installing Python's packages
[  0:39]   10:00:40 big-master: installing Python's packages: pypi.example, files.example do not answer, trying again
[  1:39]   10:01:40 big-master: installing Python's packages, 1 min
[  1:59]   10:02:00 big-master: the Hub answers
"""


def test_what_nodes_say_first_counts_from_the_request_even_over_midnight():
    assert timeline(GOLDEN.splitlines()) == {
        "master: booting": 5,
        "worker-1: booting": 5,
        "worker-1: registered": 60,
        "master: the Hub answers": 65,
        "master: runs sum(range(1000))": 65,
        "master: the first job is done": 120,
    }


def test_minutes_and_sources_that_are_away_are_no_steps():
    steps = timeline(STOCK.splitlines())
    assert steps == {"master: booting": 8, "master: installing Python's packages": 20, "master: the Hub answers": 120}


def test_a_log_without_nodes_is_no_boot():
    with pytest.raises(ValueError, match="no lines of nodes"):
        timeline(["10:00:00 cluster small: nothing to do"])


def test_the_longest_boot_gives_the_order_and_what_one_does_not_say_is_empty():
    table = rows({"golden": {"master: a": 61, "worker-1: c": 5}, "stock": {"master: b": 20, "master: a": 600}})
    assert table == [["master: b", "", "0:20"], ["master: a", "1:01", "10:00"], ["worker-1: c", "0:05", ""]]
