"""What the store answers to a dashboard's questions, as a person reads it: series with names, figures with units."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from provision.model.monitoring.panels import EVERY, FigureUnit, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from provision.model.monitoring.panels import Dashboard, Panel, PanelQuery

_BYTES: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_LABEL: Final = re.compile(r"\{\{(\w+)\}\}")
_SEVERITY: Final = (Level.GOOD, Level.WARN, Level.BAD)

SPANS: Final = {"1h": 3600, "6h": 6 * 3600, "1d": 86400, "7d": 7 * 86400, "30d": 30 * 86400}
"""What charts can show, in seconds. The store keeps 30 days."""
_POINTS: Final = 120
"""Points in a line."""


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """The time that the charts show: `name` is one of SPANS, and it ends at `end` (Unix time)."""

    name: str
    end: float
    every: int = EVERY
    """Seconds between two looks of the store."""

    @property
    def length(self) -> float:
        """Return how long it is, in seconds."""
        return SPANS[self.name]

    @property
    def start(self) -> float:
        """Return when it begins."""
        return self.end - self.length

    @property
    def step(self) -> float:
        """Return the seconds between two points."""
        return max(self.every, self.length / _POINTS)

    @property
    def window(self) -> str:
        """Return over which time rates are taken: all of what lies between two points, and some looks at least."""
        return f"{max(least_window(self.every), self.step):.0f}s"


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart: points of Unix time and value, in the order of time. A gap has no point."""

    name: str
    points: tuple[tuple[float, float], ...]

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1][1]


@dataclass(frozen=True, slots=True)
class Reading:
    """A panel, and what its questions were answered."""

    panel: Panel
    series: tuple[Series, ...]
    since: float = 0
    """Unix time: a series without a value from then on is of something that is gone."""

    def gone(self, series: Series) -> bool:
        """Whether the newest value says nothing of now."""
        return series.points[-1][0] < self.since

    def level(self, series: Series) -> Level | None:
        """Judge a series by its newest value; None if its panel has no limits, or it is gone."""
        return self.panel.limits.level(series.last) if self.panel.limits and not self.gone(series) else None

    @property
    def worst(self) -> Level | None:
        """The worst of all series."""
        levels = [level for series in self.series if (level := self.level(series))]
        return max(levels, key=_SEVERITY.index, default=None)


def least_window(every: int) -> int:
    """Return the least seconds over which a rate can be taken, where the store looks so often: six looks, or four."""
    return max(6 * EVERY, 4 * every)


def series_of(query: PanelQuery, result: Iterable[Mapping[str, Any]]) -> list[Series]:
    """Read the answer to a query, at a moment or over a range; series without any number are left out."""
    found = []
    for each in result:
        raw = each["values"] if "values" in each else [each["value"]]
        numbers = ((float(time), float(value)) for time, value in raw)
        points = tuple((time, value) for time, value in numbers if math.isfinite(value))
        if points:
            found.append(Series(_named(query.legend, each["metric"]), points))
    return sorted(found, key=lambda series: series.name)


def _named(legend: str, labels: Mapping[str, str]) -> str:
    return _LABEL.sub(lambda match: labels.get(match[1], ""), legend).strip()


def figure(value: float, unit: FigureUnit) -> str:
    """Write a value as people say it: 1.5 GiB, 12 %, 3 d."""
    match unit:
        case FigureUnit.SHARE:
            return f"{_short(value * 100)} %"
        case FigureUnit.BYTES:
            return _bytes(value)
        case FigureUnit.BYTES_PER_SECOND:
            return f"{_bytes(value)}/s"
        case FigureUnit.SECONDS:
            return _duration(value)
        case FigureUnit.PER_SECOND:
            return f"{_short(value)}/s"
        case FigureUnit.COUNT:
            return _short(value)


def _short(value: float) -> str:
    """Write three digits, and no more than there are."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 or not value else f"{value:.0e}"


def _bytes(value: float) -> str:
    power = min(int(math.log(abs(value), 1024)), len(_BYTES) - 1) if abs(value) >= 1 else 0
    return f"{_short(value / 1024**power)} {_BYTES[power]}"


def _duration(seconds: float) -> str:
    for size, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if abs(seconds) >= 2 * size or (name == "s" and abs(seconds) >= 1):
            return f"{_short(seconds / size)} {name}"
    return f"{_short(seconds * 1000)} ms"


def lines(dashboard: Dashboard, readings: Mapping[Panel, Reading]) -> list[str]:
    """Write a dashboard's newest figures as text, section by section; a level other than good is said in words."""
    written: list[str] = []
    for section in dashboard.sections:
        written.append(f"{section.title}:" if not written else f"\n{section.title}:")
        for panel in section.panels:
            reading = readings[panel]
            said = []
            for series in reading.series:
                level = reading.level(series)
                judged = f" ({level.value})" if level not in (None, Level.GOOD) else ""
                said.append(f"{series.name} {figure(series.last, panel.unit)}{judged}".strip())
            written.append(f"  {panel.title}: {', '.join(said) or 'nothing to show'}")
    return written


def document(dashboard: Dashboard, readings: Mapping[Panel, Reading]) -> list[dict[str, Any]]:
    """Return the same as plain data."""
    return [
        {
            "section": section.title,
            "panel": panel.title,
            "unit": panel.unit.value,
            "level": worst.value if (worst := readings[panel].worst) else None,
            "series": {series.name: series.last for series in readings[panel].series},
        }
        for section in dashboard.sections
        for panel in section.panels
    ]
