"""Observations of five cities: as many as were published about, with the API's faults, and weather that travels."""

from __future__ import annotations

import statistics
from collections import Counter
from datetime import datetime, timedelta

import pytest
from provision_data.observations import (
    CITIES,
    DAYS,
    FLAGS,
    LAST,
    LEARNED,
    MISSING,
    NUMBERS,
    RECORDS,
    TESTED,
    WORDS,
    Weather,
    day,
    split,
)


@pytest.fixture(scope="module")
def weather():
    return Weather(LAST - timedelta(days=DAYS), DAYS + 1)


@pytest.fixture(scope="module")
def observed(weather):
    return [row for number in range(DAYS + 1) for row in day(weather, number)]


def test_as_many_times_have_all_cities_as_were_published_about(observed):
    cities = Counter(row["time"] for row in observed)
    assert len({(row["time"], row["city"]) for row in observed}) == len(observed)
    whole = [time for time, count in cities.items() if count == len(CITIES)]
    assert sum(time < f"{LAST:%Y-%m-%d}" for time in whole) == RECORDS
    assert len(whole) > RECORDS + 50
    assert len(cities) > len(whole) + 100


def test_everything_is_text_and_some_of_it_no_value(observed):
    fields = {"city", "time", *NUMBERS, *FLAGS, *WORDS}
    assert all(row.keys() == fields for row in observed)
    assert all(isinstance(value, str) for row in observed for value in row.values())
    values = [row[name] for row in observed for name in NUMBERS]
    assert set(MISSING) <= set(values)
    assert all(-60 < float(value) < 1_100 for value in values if value not in MISSING)
    assert {row[name] for row in observed for name in FLAGS} == {"0", "1"}


def test_oslo_has_what_the_west_had_a_day_before(weather):
    oslo, stavanger = CITIES[:2]
    moments = [weather.start + timedelta(hours=hours) for hours in range(24 * (DAYS - 1))]
    west = [weather.front(stavanger, moment) for moment in moments]

    def alike(later):
        return statistics.correlation(west, [weather.front(oslo, moment + later) for moment in moments])

    assert alike(timedelta(days=1)) > 0.95 > alike(timedelta())


def test_days_before_change_nothing_that_comes_after(weather, observed):
    longer = Weather(weather.start - timedelta(days=10), DAYS + 11)
    noon = LAST + timedelta(hours=12)
    assert longer.temperature(CITIES[0], noon) == weather.temperature(CITIES[0], noon)
    assert list(day(longer, DAYS + 10)) == [row for row in observed if row["time"] >= f"{LAST:%Y-%m-%d}"]


def test_the_target_is_the_next_noon_of_oslo(weather):
    noon = LAST + timedelta(days=1, hours=12)
    for hours in (0, 7, 23):
        assert weather.noon_after(LAST + timedelta(hours=hours)) == round(weather.temperature(CITIES[0], noon))


@pytest.mark.parametrize("days", [1, 3, LEARNED])
def test_what_is_learned_is_known_before_what_it_is_tested_with(days):
    learned, tested = split(LAST, days)
    assert (len(learned), len(tested)) == (days, TESTED)
    assert not set(learned) & set(tested)
    # Their targets: Oslo's noon of the next day.
    noons = [datetime.fromisoformat(f"{date}T12:00Z") + timedelta(days=1) for date in learned]
    assert max(noons) < datetime.fromisoformat(f"{tested[0]}T00:00Z")
    assert learned[0] >= f"{LAST - timedelta(days=DAYS):%Y-%m-%d}"
    assert tested[-1] == f"{LAST - timedelta(days=1):%Y-%m-%d}"
