"""Executors come for tasks that wait: what a notebook does to have some on each worker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from provision_data import cluster


@pytest.fixture(name="sc")
def _sc(monkeypatch):
    """A SparkContext whose executors come with its tasks, one a time, until there are `at_most`."""
    made = SimpleNamespace(hosts={}, at_most=9, jobs=[], now=0.0)

    def parallelize(tasks, parts):
        def foreach(work):
            made.jobs.append(parts)
            made.now += 10
            if len(made.hosts) < made.at_most:
                made.hosts[str(len(made.hosts))] = f"10.20.0.{len(made.hosts)}"

        return SimpleNamespace(foreach=foreach)

    made.parallelize = parallelize
    monkeypatch.setattr(cluster, "executors", lambda sc: dict(sc.hosts))
    monkeypatch.setattr(cluster, "time", SimpleNamespace(monotonic=lambda: made.now, sleep=None))
    return made


def test_each_worker_has_one_since_there_is_work_for_it(sc):
    assert set(cluster.wait_for_executors(sc, 3).values()) == {"10.20.0.0", "10.20.0.1", "10.20.0.2"}
    assert sc.jobs == [12, 12, 12]


def test_where_no_more_come_there_is_an_end(sc):
    sc.at_most = 1
    assert set(cluster.wait_for_executors(sc, 3, patience=60)) == {"0"}
    assert sc.now == 70


@pytest.mark.parametrize(
    ("hosts", "tasks", "expected"),
    [
        ([], 50, 0),
        (["a"], 50, 1),
        (["a", "a"], 50, 1),
        (["a", "b"], 50, 2),
        # Of more than two it is not certain: what else runs there?
        (["a", "b", "c", "d"], 50, 2),
        (["a", "b"], 8, 2),
        # Chance.
        (["a", "b"], 7, 0),
        (["a", "b"], 1, 0),
    ],
)
def test_hosts_are_expected_of_executors_that_came_and_not_of_workers(hosts, tasks, expected):
    found = {str(number): host for number, host in enumerate(hosts)}
    assert cluster.hosts_expected(found, tasks) == expected


def test_on_one_machine_there_is_nothing_to_wait_for(sc):
    assert cluster.wait_for_executors(sc, 0) == {}
    assert sc.jobs == []
