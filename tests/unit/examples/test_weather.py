"""Weather that is made up: its seasons and days, its gaps, and its faults."""

from __future__ import annotations

import itertools
import random
import statistics
from datetime import UTC, datetime, timedelta

from provision_data.weather import Climate, fronts, merged_year, series, usual

HOUR = timedelta(hours=1)


def test_summers_and_afternoons_are_warmer():
    climate = Climate()
    july, january = datetime(2016, 7, 16, 13, tzinfo=UTC), datetime(2016, 1, 16, 13, tzinfo=UTC)
    assert 18 < usual(climate, july) - usual(climate, january) < 26
    assert usual(climate, july) - usual(climate, july.replace(hour=1)) > 8
    assert usual(climate, january) - usual(climate, january.replace(hour=1)) > 2


def test_fronts_are_around_nothing_and_last():
    values = fronts(20_000, 1, random.Random(1))
    assert abs(statistics.mean(values)) < 0.3
    assert 0.85 < statistics.stdev(values) < 1.15
    assert statistics.correlation(values[:-1], values[1:]) > 0.95
    assert abs(statistics.correlation(values[:-400], values[400:])) < 0.2


def test_a_series_is_regular_and_repeatable():
    start = datetime(2016, 7, 1, tzinfo=UTC)
    rows = list(series(start, 48, HOUR))
    assert [moment for moment, _ in rows] == [start + place * HOUR for place in range(48)]
    assert rows == list(series(start, 48, HOUR))
    assert rows != list(series(start, 48, HOUR, seed=2))


def test_skies_make_nights_differ_and_noons_not():
    start = datetime(2016, 7, 1, tzinfo=UTC)
    plain, clear = (dict(series(start, 24 * 200, HOUR, Climate(nights=nights))) for nights in (0, 4))

    def spread(hour):
        return statistics.stdev(clear[moment] - plain[moment] for moment in plain if moment.hour == hour)

    assert spread(12) < 0.2
    assert 3 < spread(1) < 5


def test_a_year_with_gaps_and_values_that_differ():
    rows = merged_year()
    times = [datetime.strptime(row.time, "%Y-%m-%dT%H:%M:%S%z") for row in rows]
    assert 8_600 < len(rows) < 9_200
    gaps = [later - earlier for earlier, later in itertools.pairwise(times) if later - earlier > HOUR]
    assert 4 <= len(gaps) <= 7
    wrong = sum(row.temperature == "DIFF" for row in rows)
    assert 60 < wrong < 160
    assert all(-35 < float(row.temperature) < 40 for row in rows if row.temperature != "DIFF")
