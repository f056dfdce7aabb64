"""One log of many: what Docker has kept, and what comes while it is followed."""

from __future__ import annotations

import queue
import re
from datetime import UTC, datetime
from itertools import islice

import pytest

from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.logs import LogFilter, LogSource
from provision.operations.localcloud import logs as workflow
from provision.operations.localcloud.logs import Query, copies_of, stack_logs

A, B = LogSource("a", "api", "api-1"), LogSource("b", "db", "db-1")


def frame(second: int, text: str) -> bytes:
    return f"{stamp(second)} {text}\n".encode()


def stamp(second: int) -> str:
    return f"2026-03-01T12:00:{second:02d}.000000000Z"


class FakeLogs:
    """Docker's logs: what is kept, and a queue of what comes for each copy (None: its log ends)."""

    def __init__(self, kept):
        self.kept = kept
        self.listed = list(kept)
        self.coming = {copy.id: queue.SimpleQueue() for copy in kept}
        self.asked = []

    def copies(self):
        return self.listed

    def frames(self, copy, *, since=None, tail=None, follow=False):
        self.asked.append((copy.name, since, tail, follow))
        if not follow:
            kept = self.kept[copy]
            yield from kept if tail is None else kept[len(kept) - min(tail, len(kept)) :]
            return
        # Docker gives out what is as old as `since`, or a little older: whatever its clock makes of a float.
        yield from self.kept.get(copy, [])
        while (arrived := self.coming.setdefault(copy.id, queue.SimpleQueue()).get()) is not None:
            if isinstance(arrived, Exception):
                raise arrived
            yield arrived


@pytest.fixture(name="door")
def _door():
    return FakeLogs({A: [frame(1, "a1"), frame(4, "a4"), frame(5, "a5")], B: [frame(2, "b2"), frame(3, "b3")]})


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(workflow, "_LOOK", 0.05)


def read(door, query):
    return [line.text for line in stack_logs(door, query, copies_of(door, query.services))]


def test_all_copies_are_one_log_in_the_order_of_time(door):
    assert read(door, Query()) == ["a1", "b2", "b3", "a4", "a5"]
    assert read(door, Query(("db",))) == ["b2", "b3"]


def test_docker_counts_the_last_lines_where_all_are_wanted(door):
    assert read(door, Query(tail=1)) == ["b3", "a5"]
    assert ("api-1", None, 1, False) in door.asked


def test_the_last_lines_of_a_search_are_those_that_match(door):
    assert read(door, Query(wish=LogFilter(re.compile("[12345]$")), tail=2)) == ["b2", "b3", "a4", "a5"]
    assert read(door, Query(wish=LogFilter(re.compile("a[14]")), tail=1)) == ["a4"]
    assert {tail for _, _, tail, _ in door.asked} == {None}


def test_docker_is_told_since_when(door):
    read(door, Query(since=1234.5))
    assert {since for _, since, _, _ in door.asked} == {1234.5}


def test_no_cloud_and_no_such_service_are_bad_usage(door):
    with pytest.raises(UsageError, match="no service 'x'"):
        read(door, Query(("x",)))
    with pytest.raises(UsageError, match="no local cloud"):
        read(FakeLogs({}), Query())


def followed(door, query, count):
    lines = stack_logs(door, query, copies_of(door, query.services))
    return lines, [line.text for line in islice(lines, count)]


def test_following_goes_on_where_the_kept_lines_end_and_repeats_none(door):
    lines, first = followed(door, Query(tail=1, follow=True), 2)
    assert first == ["b3", "a5"]
    door.coming["a"].put(frame(7, "a7"))
    door.coming["b"].put(frame(6, "b6"))
    assert [line.text for line in islice(lines, 2)] == ["b6", "a7"]
    asked = {name: since for name, since, _, follow in door.asked if follow}
    seconds = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC).timestamp()
    assert seconds - 0.01 < asked["api-1"] < seconds


def test_a_copy_that_comes_later_is_read_from_its_beginning(door):
    lines, _ = followed(door, Query(("api",), follow=True), 3)
    newer = LogSource("c", "api", "api-2")
    door.kept[newer] = [frame(8, "c8")]
    door.listed = [A, B, newer]
    assert next(lines).text == "c8"
    assert ("api-2", None, None, True) in door.asked
    assert not any(name == "db-1" for name, *_ in door.asked)


def test_a_copy_that_is_started_again_is_read_again(door):
    lines, _ = followed(door, Query(("api",), follow=True), 3)
    door.coming["a"].put(frame(7, "last words"))
    assert next(lines).text == "last words"
    door.coming["a"].put(None)
    door.coming["a"].put(frame(9, "first words"))
    assert next(lines).text == "first words"


def test_what_has_ended_is_not_followed(door):
    stopped = LogSource("d", "api", "api-3", running=False)
    door.kept[stopped] = [frame(1, "d1")]
    door.listed = [A, stopped]
    lines, texts = followed(door, Query(follow=True), 4)
    assert "d1" in texts
    door.coming["a"].put(frame(9, "a9"))
    next(lines)
    assert ("api-3", None, None, False) in door.asked
    assert not any(name == "api-3" and follow for name, _, _, follow in door.asked)


def test_following_ends_with_docker(door):
    lines, _ = followed(door, Query(("api",), follow=True), 3)
    door.coming["a"].put(ProvisionError("Docker does not give out the logs"))
    with pytest.raises(ProvisionError, match="give out"):
        next(lines)
