"""One log of many: what Docker has kept, and what comes while it is followed."""

from __future__ import annotations

import queue
import re
from datetime import UTC, datetime
from itertools import islice

import pytest

from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.logs import LogFilter, LogSource
from provision.operations.localcloud import logs
from provision.operations.localcloud.logs import Query, find_sources, read_logs

A, B = LogSource("a", "api", "api-1"), LogSource("b", "db", "db-1")


def frame(second: int, text: str) -> bytes:
    return f"{stamp(second)} {text}\n".encode()


def stamp(second: int) -> str:
    return f"2026-03-01T12:00:{second:02d}.000000000Z"


class FakeLogs:
    """Docker's logs: what is kept, and a queue of what comes for each container (None: its log ends)."""

    def __init__(self, kept):
        self.kept = kept
        self.listed = list(kept)
        self.coming = {source.id: queue.SimpleQueue() for source in kept}
        self.asked = []

    def sources(self):
        return self.listed

    def frames(self, source, *, since=None, tail=None, follow=False):
        self.asked.append((source.name, since, tail, follow))
        if not follow:
            kept = self.kept[source]
            yield from kept if tail is None else kept[len(kept) - min(tail, len(kept)) :]
            return
        # Docker gives out what is as old as `since`, or a little older: whatever its clock makes of a float.
        yield from self.kept.get(source, [])
        while (arrived := self.coming.setdefault(source.id, queue.SimpleQueue()).get()) is not None:
            if isinstance(arrived, Exception):
                raise arrived
            yield arrived


@pytest.fixture(name="reader")
def make_reader():
    return FakeLogs({A: [frame(1, "a1"), frame(4, "a4"), frame(5, "a5")], B: [frame(2, "b2"), frame(3, "b3")]})


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(logs, "_REFRESH", 0.05)


def read(reader, query):
    return [line.text for line in read_logs(reader, query, find_sources(reader, query.services))]


def test_all_containers_are_one_log_in_the_order_of_time(reader):
    assert read(reader, Query()) == ["a1", "b2", "b3", "a4", "a5"]
    assert read(reader, Query(("db",))) == ["b2", "b3"]


def test_docker_counts_the_last_lines_where_all_are_wanted(reader):
    assert read(reader, Query(tail=1)) == ["b3", "a5"]
    assert ("api-1", None, 1, False) in reader.asked


def test_the_last_lines_of_a_search_are_those_that_match(reader):
    assert read(reader, Query(wish=LogFilter(re.compile("[12345]$")), tail=2)) == ["b2", "b3", "a4", "a5"]
    assert read(reader, Query(wish=LogFilter(re.compile("a[14]")), tail=1)) == ["a4"]
    assert {tail for _, _, tail, _ in reader.asked} == {None}


def test_docker_is_told_since_when(reader):
    read(reader, Query(since=1234.5))
    assert {since for _, since, _, _ in reader.asked} == {1234.5}


def test_no_cloud_and_no_such_service_are_bad_usage(reader):
    with pytest.raises(UsageError, match="no service 'x'"):
        read(reader, Query(("x",)))
    with pytest.raises(UsageError, match="no local cloud"):
        read(FakeLogs({}), Query())


def followed(reader, query, count):
    lines = read_logs(reader, query, find_sources(reader, query.services))
    return lines, [line.text for line in islice(lines, count)]


def test_following_goes_on_where_the_kept_lines_end_and_repeats_none(reader):
    lines, first = followed(reader, Query(tail=1, follow=True), 2)
    assert first == ["b3", "a5"]
    reader.coming["a"].put(frame(7, "a7"))
    reader.coming["b"].put(frame(6, "b6"))
    assert [line.text for line in islice(lines, 2)] == ["b6", "a7"]
    asked = {name: since for name, since, _, follow in reader.asked if follow}
    seconds = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC).timestamp()
    assert seconds - 0.01 < asked["api-1"] < seconds


def test_a_container_that_comes_later_is_read_from_its_beginning(reader):
    lines, _ = followed(reader, Query(("api",), follow=True), 3)
    newer = LogSource("c", "api", "api-2")
    reader.kept[newer] = [frame(8, "c8")]
    reader.listed = [A, B, newer]
    assert next(lines).text == "c8"
    assert ("api-2", None, None, True) in reader.asked
    assert not any(name == "db-1" for name, *_ in reader.asked)


def test_a_container_that_is_started_again_is_read_again(reader):
    lines, _ = followed(reader, Query(("api",), follow=True), 3)
    reader.coming["a"].put(frame(7, "last words"))
    assert next(lines).text == "last words"
    reader.coming["a"].put(None)
    reader.coming["a"].put(frame(9, "first words"))
    assert next(lines).text == "first words"


def test_what_has_ended_is_not_followed(reader):
    stopped = LogSource("d", "api", "api-3", running=False)
    reader.kept[stopped] = [frame(1, "d1")]
    reader.listed = [A, stopped]
    lines, texts = followed(reader, Query(follow=True), 4)
    assert "d1" in texts
    reader.coming["a"].put(frame(9, "a9"))
    next(lines)
    assert ("api-3", None, None, False) in reader.asked
    assert not any(name == "api-3" and follow for name, _, _, follow in reader.asked)


def test_following_ends_with_docker(reader):
    lines, _ = followed(reader, Query(("api",), follow=True), 3)
    reader.coming["a"].put(ProvisionError("Docker does not give out the logs"))
    with pytest.raises(ProvisionError, match="give out"):
        next(lines)
