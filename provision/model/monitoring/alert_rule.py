"""An alert rule. Its texts are templates of vmalert: it fills in a series' labels and value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AlertRule:
    """An alert: it fires when `expr` has held for `lasts`; the rest is what a Finding says."""

    name: str
    expr: str
    lasts: str
    where: str
    wrong: str
    do: str
