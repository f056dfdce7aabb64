"""What dashboards are made of: plain data, from which the terminal, the page and Grafana's files follow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

WINDOW: Final = "$__rate_interval"
"""Stands in a query for the time over which a rate is taken. It is Grafana's own variable; our page fills it in."""

EVERY: Final = 10
"""Seconds between two looks of a store, if nothing else is said (scrape.yaml.j2 of the local cloud and of clusters)."""
FIRING: Final = 'ALERTS{alertstate="firing"}'
"""The alerts that fire, as vmalert writes them into the store."""


class FigureUnit(Enum):
    """What a panel's figures count."""

    COUNT = "count"
    SHARE = "share"
    BYTES = "bytes"
    BYTES_PER_SECOND = "bytes per second"
    SECONDS = "seconds"
    PER_SECOND = "per second"


class Level(Enum):
    """How a figure is judged; the page and Grafana colour it."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class PanelLimits:
    """From which figure on a panel warns and is bad. Where `falling`, it is good above `warn` and bad below `bad`."""

    warn: float
    bad: float
    falling: bool = False

    def level(self, value: float) -> Level:
        """Judge a figure."""
        if self.falling:
            return Level.GOOD if value >= self.warn else Level.WARN if value >= self.bad else Level.BAD
        return Level.BAD if value >= self.bad else Level.WARN if value >= self.warn else Level.GOOD


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """One question of a panel, in PromQL; `legend` names each of its series, with a label's value for {{label}}."""

    expr: str
    legend: str

    def over(self, window: str) -> str:
        """Return the question, with rates taken over `window` (`60s`)."""
        return self.expr.replace(WINDOW, window)


@dataclass(frozen=True, slots=True)
class Panel:
    """A figure or a chart: on a cloud that works, each has something to show (tests/e2e asks them all)."""

    title: str
    meaning: str
    unit: FigureUnit
    queries: tuple[PanelQuery, ...]
    limits: PanelLimits | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """Panels that belong together; `figures` have one figure each, the others are charts."""

    title: str
    panels: tuple[Panel, ...]
    figures: bool = False


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of sections."""

    name: str
    title: str
    sections: tuple[Section, ...]
    alerts: str = ""
    """The command that says which alerts fire."""
    turn_on: str = ""
    """How monitoring is turned on, in a sentence."""
    site: str = ""
    """What the page belongs to, as its link back says."""
    every: int = EVERY
    """Seconds between two looks of its store."""

    def titled(self, title: str, every: int) -> Dashboard:
        """Return the same with another title, of a store that looks so often."""
        return replace(self, title=title, every=every)

    def panels(self) -> tuple[Panel, ...]:
        """List the panels of all sections."""
        return tuple(panel for section in self.sections for panel in section.panels)


def make_panel(
    title: str, meaning: str, unit: FigureUnit, *queries: tuple[str, str], limits: PanelLimits | None = None
) -> Panel:
    """Make a panel of its questions, each with the names of its series."""
    return Panel(title, meaning, unit, tuple(PanelQuery(*each) for each in queries), limits)


def rate(metric: str, labels: str = "") -> str:
    """Write how fast a counter grows; `labels` choose among its series."""
    return f"rate({metric}{labels and f'{{{labels}}}'}[{WINDOW}])"
