"""What of tests/benchmarks/boot.py needs no cloud."""

from __future__ import annotations

import boot
import pytest


def test_a_worker_has_registered_at_the_time_of_its_journal():
    line = "[   94.512345] worker java[512]: INFO Worker: Successfully registered with master spark://master:7077"
    assert boot.registered(line) == 94.512345


def test_a_journal_without_it_is_no_time():
    with pytest.raises(SystemExit, match="does not say"):
        boot.registered("-- No entries --")


def test_medians_are_those_of_all_workers_and_of_all_logins():
    boots = [boot.Boot((90, 100), 200), boot.Boot((80, 120), 160), boot.Boot((95, 95), 170)]
    assert list(boot.medians(boots).values()) == [95, 170]


def test_each_row_says_how_many_times_before():
    found = {"before": [boot.Boot((100, 100), 200)], "now": [boot.Boot((70, 70), 100)]}
    ratios = [row[-1] for row in boot.result(found, "abc1234", 1, {}).tables[0].rows]
    assert ratios == ["0.70", "0.50"]


def test_versions_take_turns():
    class Version:
        def __init__(self, name: str) -> None:
            self.name = name

        def boot(self) -> boot.Boot:
            order.append(self.name)
            return boot.Boot((1,), 1)

    order: list[str] = []
    boot.compete([Version("before"), Version("now")], 2)
    assert order == ["before", "now", "now", "before"]
