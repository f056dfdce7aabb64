"""Weather observations of five cities, made up, as an API gave them: what the west has now, Oslo has a day later."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from provision_data.weather import Climate, fronts, usual

if TYPE_CHECKING:
    from collections.abc import Iterator

LAST: Final = datetime(2015, 5, 30, tzinfo=UTC)
"""The day whose observations are used to tell the next one's noon."""
DAYS: Final = 14
"""Days of observations before it that were published about, and how many times of them all five cities have:"""
RECORDS: Final = 844
TESTED: Final = 4
"""The last days of these, which a model is tested with."""
LEARNED: Final = DAYS - TESTED - 1
"""Those that it may be made of: one in between is left out (`split`)."""
PER_DAY: Final = 72
NUMBERS: Final = (
    "tempm", "dewptm", "hum", "pressurem", "wspdm", "wdird", "wgustm", "vism", "precipm", "windchillm", "heatindexm"
)  # fmt: skip
FLAGS: Final = ("fog", "rain", "snow", "hail", "thunder", "tornado")
WORDS: Final = ("conds", "wdire")
MISSING: Final = ("", "-999", "-9999")
"""How the API writes that there is no value."""
_ROSE: Final = "N NNE NE ENE E ESE SE SSE S SSW SW WSW W WNW NW NNW".split()
_STEP: Final = timedelta(days=1) / PER_DAY


@dataclass(frozen=True)
class City:
    """A place, and how the weather that comes from the west gets there."""

    letter: str
    name: str
    climate: Climate
    later: int
    """Hours after it is in Stavanger."""
    share: float
    """How much of it is this weather; the rest is its own."""


CITIES: Final = (
    City("o", "Oslo", Climate(7.0, 10.5, 3.5), 24, 0.99),
    City("s", "Stavanger", Climate(8.5, 6.0, 2.0), 0, 1.0),
    City("b", "Bergen", Climate(8.0, 6.5, 2.0), 2, 0.85),
    City("k", "Kristiansand", Climate(8.0, 8.0, 2.8), 8, 0.8),
    City("t", "Trondheim", Climate(6.0, 8.5, 2.8), 4, 0.7),
)


class Weather:
    """What passes over the country from `start` for so many days."""

    def __init__(self, start: datetime, days: int, seed: int = 2) -> None:
        self.start = start
        self.days = days
        chance = random.Random(seed)
        # From the past to the present, so that more days before change nothing that comes after.
        hours = 24 * (days + 3)
        self._west = fronts(hours, 1, chance, lasts=60)[::-1]
        own = {city.letter: fronts(hours, 1, random.Random(f"{seed}{city.letter}")) for city in CITIES}
        self._own = {letter: values[::-1] for letter, values in own.items()}

    def front(self, city: City, moment: datetime) -> float:
        """Return what the passing weather is like in a city, around 0."""
        # A day ahead of the start, since Oslo has what was in the west before.
        hour = (moment - self.start).total_seconds() / 3_600 + 30
        west = _between(self._west, hour - city.later)
        own = _between(self._own[city.letter], hour)
        return city.share * west + math.sqrt(1 - city.share**2) * own

    def temperature(self, city: City, moment: datetime) -> float:
        """Return a city's temperature, in degrees Celsius."""
        return usual(city.climate, moment) + 3 * self.front(city, moment)

    def noon_after(self, moment: datetime) -> int:
        """Return Oslo's temperature at 12:00 UTC of the next day, in whole degrees: what is to be told."""
        noon = moment.replace(hour=12, minute=0, second=0) + timedelta(days=1)
        return round(self.temperature(CITIES[0], noon))


def split(end: datetime, learned: int = LEARNED) -> tuple[list[str], list[str]]:
    """Return dates before `end`, a midnight: so many to learn from, and those to look at.

    The day between them is neither: its target, the noon of the next day, is not known when the first day to look at
    begins. Nor is a day divided, since all of its records have the same target.
    """
    border = end - timedelta(days=TESTED)
    begin = border - timedelta(days=learned + 1)
    return _dates(begin, learned), _dates(border, TESTED)


def _dates(first: datetime, count: int) -> list[str]:
    return [f"{first + timedelta(days=number):%Y-%m-%d}" for number in range(count)]


def _between(values: list[float], hour: float) -> float:
    whole = int(hour)
    return values[whole] + (hour - whole) * (values[whole + 1] - values[whole])


def day(weather: Weather, number: int, seed: int = 2) -> Iterator[dict[str, Any]]:
    """Yield the observations of one day of all cities: fields as the API's, all of them text, with city and time.

    Every twenty minutes, but some are missing; and some cities have more at odd times, which no other one has.
    """
    begin = weather.start + timedelta(days=number)
    ahead = (LAST - begin).days
    chance = random.Random(f"{seed}-{ahead}")
    dropped = _dropped(ahead, seed)
    for slot in range(PER_DAY):
        moment = begin + slot * _STEP
        for city in CITIES:
            if dropped.get(slot) != city.letter:
                yield _observation(weather, city, moment, chance)
        if chance.random() < 0.1:
            yield _observation(weather, chance.choice(CITIES), moment + timedelta(minutes=7), chance)


def _dropped(ahead: int, seed: int) -> dict[int, str]:
    """Return which city lacks which of a day's times."""
    chance = random.Random(f"{seed}-{ahead}-dropped")
    # Over the days before the last one as many as there have to be.
    missing = DAYS * PER_DAY - RECORDS
    count = missing // DAYS + (1 <= ahead <= missing % DAYS)
    return {slot: chance.choice(CITIES).letter for slot in chance.sample(range(PER_DAY), count)}


def _observation(weather: Weather, city: City, moment: datetime, chance: random.Random) -> dict[str, Any]:
    front = weather.front(city, moment)
    warm = weather.temperature(city, moment) + chance.gauss(0, 0.5)
    damp = min(max(72 + 9 * front + chance.gauss(0, 5), 15), 100)
    dew = warm - (100 - damp) / 5
    direction = round((235 + 55 * math.tanh(-front) + chance.gauss(0, 18)) / 10) * 10 % 360
    wind = abs(14 + 6 * front + chance.gauss(0, 4))
    rain = front > 0.6 and chance.random() < 0.7
    clouds = ["Clear", "Scattered Clouds", "Mostly Cloudy", "Overcast"][min(max(int(front + 2), 0), 3)]
    return {
        "city": city.letter,
        "time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "tempm": f"{warm:.0f}",
        "dewptm": f"{dew:.0f}",
        "hum": f"{damp:.0f}",
        "pressurem": "" if chance.random() < 0.05 else f"{1_013 - 9 * front + chance.gauss(0, 1):.0f}",
        "wspdm": "-9999" if chance.random() < 0.03 else f"{wind:.1f}",
        "wdird": f"{direction:.0f}",
        "wdire": _ROSE[round(direction / 22.5) % 16],
        "wgustm": f"{wind * 1.6:.1f}" if wind > 25 else "",
        "vism": "-9999" if chance.random() < 0.04 else f"{chance.choice((10, 20, 40, 60))}",
        "precipm": f"{chance.expovariate(1):.1f}" if rain else "",
        "windchillm": f"{warm - 2:.0f}" if warm < 8 else "-999",
        "heatindexm": "-9999",
        "conds": "Light Rain Showers" if rain else clouds,
        "fog": str(int(damp > 97)),
        "rain": str(int(rain)),
        "snow": str(int(rain and warm < 1)),
        "hail": "0",
        "thunder": str(int(rain and chance.random() < 0.02)),
        "tornado": "0",
    }
