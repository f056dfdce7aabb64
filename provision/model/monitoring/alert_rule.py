"""An alert rule. Its texts are templates of vmalert: it fills in a series' labels and value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ENDS: Final = "{{ if lt $value 0.0 }}has expired{{ else }}expires in {{ $value | humanizeDuration }}{{ end }}"
"""What is wrong with a certificate: the value is the seconds until its end."""
GATHERED: Final = "count_over_time(up[1m])"
"""What was asked in the last minute. `up` alone is repeated for five minutes where nothing says that it has ended, and
nothing does while the store's disk is full. Whatever is asked is asked twice a minute or more often (scrape.yaml)."""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """An alert: it fires when `expr` has held for `lasts`; the rest is what a Finding says."""

    name: str
    expr: str
    lasts: str
    where: str
    wrong: str
    do: str


def nothing_gathered(do: str) -> AlertRule:
    """Return the rule that comes before all others, which are silent without figures."""
    wrong = "has no new figures, so what its other alerts would tell is not known"
    return AlertRule("NothingGathered", f"absent({GATHERED})", "1m", "monitoring", wrong, do)
