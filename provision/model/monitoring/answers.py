"""What the metrics' store answers, read for a person: alerts as findings, series and targets as rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from provision.model.columns import columns
from provision.model.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HIDDEN: Final = ("job", "instance", "__name__")
"""Labels that have a column of their own, or none."""


def firing(alerts: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Read `/api/v1/alerts`: what fires, in the order in which it began."""
    found = sorted((each for each in alerts if each["state"] == "firing"), key=_began)
    return [
        Finding(
            rule=each["name"],
            where=each["annotations"]["where"],
            wrong=each["annotations"]["wrong"],
            do=each["annotations"]["do"],
            evidence=(f"since {_began(each):%Y-%m-%d %H:%M:%S} UTC: {each['expression']}",),
        )
        for each in found
    ]


def _began(alert: Mapping[str, Any]) -> datetime:
    """Return when it began: vmalert writes times of the zone of its machine."""
    return datetime.fromisoformat(str(alert["activeAt"])).astimezone(UTC)


def series(result: Mapping[str, Any]) -> list[str]:
    """Write the answer to an instant query in columns: what it is of, its labels, its value."""
    if result["resultType"] in ("scalar", "string"):
        return [str(result["result"][1])]
    rows = []
    for each in result["result"]:
        labels = each["metric"]
        rest = ", ".join(f"{name}={value}" for name, value in sorted(labels.items()) if name not in _HIDDEN)
        # A range (`up[1m]`) has many values, and the last one is shown.
        value = each["value"] if "value" in each else each["values"][-1]
        rows.append((labels.get("__name__", ""), labels.get("instance", ""), rest, str(value[1])))
    return columns(sorted(rows))


def targets(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Write what is gathered in columns: the job, the instance, whether it answers, how many figures it gave."""
    rows = sorted(
        (
            each["labels"]["job"],
            each["labels"].get("instance", ""),
            "answers" if each["health"] == "up" else each.get("lastError") or "not asked yet",
            str(each.get("lastSamplesScraped", "")),
        )
        for each in found
    )
    return columns([("job", "instance", "state", "figures"), *rows])
