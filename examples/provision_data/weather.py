"""Weather that is made up: temperatures with seasons, days, fronts that pass, and the faults of real series."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_YEAR = 365.2425 * 86_400


@dataclass(frozen=True)
class Climate:
    """What is usual at a place, in degrees Celsius."""

    mean: float = 6.5
    yearly: float = 9.5
    """Half of what lies between the middle of January and the middle of July."""
    daily: float = 3.2
    """The same between early morning and early afternoon."""
    fronts: float = 2.6
    """Standard deviation of what passing weather adds."""
    nights: float = 0.0
    """The same for what clear or cloudy skies add in the middle of the night; at noon they add nothing."""


def usual(climate: Climate, moment: datetime) -> float:
    """Return the temperature that a place has at a moment in an average year."""
    season = math.cos(2 * math.pi * (moment.timestamp() / _YEAR - 16 / 365))
    # Summer days are warmer against their nights than winter days.
    return climate.mean - climate.yearly * season + climate.daily * (1 - 0.5 * season) * _afternoon(moment)


def _afternoon(moment: datetime) -> float:
    """Return 1 in the early afternoon, -1 in the early morning."""
    return math.cos(2 * math.pi * (moment.hour + moment.minute / 60 - 13) / 24)


def fronts(steps: int, hours: float, chance: random.Random, lasts: float = 40) -> list[float]:
    """Return what passing weather adds at each step of so many hours: mean 0, deviation 1; it `lasts` hours."""
    keep = math.exp(-hours / lasts)
    fresh = math.sqrt(1 - keep * keep)
    value, values = chance.gauss(0, 1), []
    for _ in range(steps):
        values.append(value)
        value = keep * value + fresh * chance.gauss(0, 1)
    return values


def series(
    start: datetime, steps: int, step: timedelta, climate: Climate | None = None, seed: int = 1
) -> Iterator[tuple[datetime, float]]:
    """Yield moments and temperatures, with a tenth of a degree."""
    chance, climate = random.Random(seed), climate or Climate()
    hours = step.total_seconds() / 3_600
    passing, skies = fronts(steps, hours, chance), fronts(steps, hours, random.Random(f"{seed}-skies"))
    for number, (front, sky) in enumerate(zip(passing, skies, strict=True)):
        moment = start + number * step
        noise = chance.gauss(0, 0.25)
        night = climate.nights * sky * (0.5 - 0.5 * _afternoon(moment))
        yield moment, round(usual(climate, moment) + climate.fronts * front + night + noise, 1)


@dataclass(frozen=True)
class Row:
    """A line of a file that two series were merged into, as text."""

    time: str
    temperature: str
    """Degrees, or DIFF where the two do not agree."""


def merged_year(seed: int = 1, climate: Climate | None = None) -> list[Row]:
    """Return a year of hourly temperatures, as a station's two series give them after a merge.

    Some hours are missing, in several gaps, and for some there is `DIFF` instead of a number.
    """
    chance = random.Random(seed + 1_000)
    start = datetime(2016, 2, 11, 8, tzinfo=UTC)
    hours = 366 * 24 + 12 * 24
    gaps = [(chance.randrange(24, hours - 200), chance.randrange(6, 60)) for _ in range(7)]
    rows = []
    for number, (moment, value) in enumerate(series(start, hours, timedelta(hours=1), climate, seed)):
        if any(begin <= number < begin + length for begin, length in gaps):
            continue
        wrong = chance.random() < 0.012
        rows.append(Row(moment.strftime("%Y-%m-%dT%H:%M:%SZ"), "DIFF" if wrong else f"{value:.1f}"))
    return rows
