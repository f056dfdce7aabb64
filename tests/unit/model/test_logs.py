"""The order of time, and what --since means."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.base.errors import UsageError
from provision.model import logs
from provision.model.logs import Line, Window

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def zone(monkeypatch):
    """A function that gives this machine a time zone."""

    def choose(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield choose
    monkeypatch.undo()
    time.tzset()


def at(second: float, text: str = "x", source: str = "a-1") -> Line:
    return Line(f"2026-03-01T12:00:{second:012.9f}Z", source, text)


@given(st.lists(st.lists(st.integers(0, 59), max_size=8).map(sorted), max_size=5))
def test_many_logs_are_one_in_the_order_of_time(streams):
    lines = [[at(second, source=f"c-{index}") for second in stream] for index, stream in enumerate(streams)]
    found = list(logs.merged(iter(stream) for stream in lines))
    assert found == sorted(line for stream in lines for line in stream)


def test_output_and_errors_of_one_replica_may_have_overtaken_each_other():
    lines = [at(second) for second in (1, 3, 2, 5, 4, 6)]
    assert list(logs.merged([lines])) == sorted(lines)


def test_a_late_line_finds_its_place_while_the_window_is_open():
    window = Window(0.5)
    window.push(at(2, source="a-1"), 10.0)
    window.push(at(1, source="b-1"), 10.3)
    assert window.ready(10.4) == []
    assert window.ready(10.5) == [at(1, source="b-1"), at(2, source="a-1")]


def test_no_line_is_held_longer_than_the_window():
    window = Window(0.5)
    window.push(at(9), 10.0)
    window.push(at(1), 10.4)
    window.push(at(12), 10.4)
    assert window.ready(10.6) == [at(1), at(9)]
    assert window.ready(10.91) == [at(12)]
    assert window.ready(99) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", NOW.timestamp() - 90),
        ("10m", NOW.timestamp() - 600),
        ("1h30m", NOW.timestamp() - 5400),
        ("10min", NOW.timestamp() - 600),
        ("1h 30 minutes ago", NOW.timestamp() - 5400),
        ("-5m", NOW.timestamp() - 300),
        ("today", datetime(2026, 3, 1, tzinfo=UTC).timestamp()),
        ("yesterday", datetime(2026, 2, 28, tzinfo=UTC).timestamp()),
        ("1d", NOW.timestamp() - 86400),
        ("2026-03-01T11:00:00Z", NOW.timestamp() - 3600),
        ("2026-03-01T12:00:00.5+01:00", NOW.timestamp() - 3599.5),
        ("1900-01-01T00:00:00Z", 1.0),
    ],
)
def test_a_time_is_read(text, seconds, zone):
    zone("UTC")
    assert logs.read_since(text, NOW) == seconds


@pytest.mark.parametrize("text", ["today", "yesterday"])
@pytest.mark.parametrize(("day", "offset"), [("2026-03-29", "+02:00"), ("2026-10-25", "+01:00")])
def test_days_on_which_clocks_change_begin_at_midnight_too(text, day, offset, zone):
    zone("Europe/Berlin")
    midnight = datetime.fromtimestamp(logs.read_since(text, datetime.fromisoformat(f"{day}T12:00:00{offset}")))
    assert (midnight.hour, midnight.minute) == (0, 0)
    assert midnight.date() == date.fromisoformat(day) - timedelta(days=text == "yesterday")


def test_a_time_without_a_zone_is_this_machines():
    assert logs.read_since("2026-03-01T12:00", NOW) == datetime(2026, 3, 1, 12).astimezone().timestamp()


@pytest.mark.parametrize("text", ["", "soon", "10", "10x", "25:00", "ago", "2026-13-01", "m", "9" * 30 + "d"])
def test_a_bad_time_is_bad_usage(text):
    with pytest.raises(UsageError, match="--since"):
        logs.read_since(text, NOW)


def test_the_time_of_a_day_is_this_machines():
    assert logs.read_since("10:30", NOW) == datetime(2026, 3, 1, 10, 30).astimezone().timestamp()


def test_a_moment_is_exact_to_the_microsecond():
    assert at(1.123456789).moment == pytest.approx(NOW.timestamp() + 1.123456, abs=1e-6)


def test_a_time_in_microseconds_is_written_as_lines_have_it():
    assert logs.utc(1_772_366_400_000_007) == "2026-03-01T12:00:00.000007Z"
    assert Line(logs.utc(1_772_366_400_500_000), "", "").moment == 1_772_366_400.5
