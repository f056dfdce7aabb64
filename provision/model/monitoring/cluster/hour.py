"""The last hour of a cluster in figures, for its report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from provision.model.finding import span
from provision.model.monitoring.panels import EVERY
from provision.model.monitoring.readings import figure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from provision.model.finding import Finding
    from provision.model.monitoring.readings import Reading

SPAN: Final = "1h"
FIRED: Final = f'max by (alertname, instance) (count_over_time(ALERTS{{alertstate="firing"}}[{SPAN}]))'
"""How many evaluations of the last hour saw each alert, one every 10 seconds (provision-alerts.service).

Of several on one node (two of its units), the one that lasted."""


def hour(readings: Iterable[Reading], firing: Sequence[Finding], fired: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the report shows: of each figure its least, mean, highest and newest value, and the alerts."""
    seen = [
        {
            "what": f"{each['metric'].get('alertname', '')} {each['metric'].get('instance', '')}".strip(),
            "time": span(float(each["value"][1]) * EVERY),
        }
        for each in fired
    ]
    return {
        "figures": [_summary(reading) for reading in readings],
        "firing": [{"where": each.where, "wrong": each.wrong, "do": each.do} for each in firing],
        "fired": sorted(seen, key=lambda each: each["what"]),
        "problem": "",
    }


def _summary(reading: Reading) -> dict[str, str]:
    values = [value for series in reading.series for _, value in series.points]
    unit = reading.panel.unit
    if not values:
        return {"what": reading.panel.title, "least": "", "mean": "", "most": "", "now": ""}
    found = {"least": min(values), "mean": sum(values) / len(values), "most": max(values), "now": values[-1]}
    return {"what": reading.panel.title} | {name: figure(value, unit) for name, value in found.items()}
