"""An alert rule. Its texts are templates of vmalert: it fills in a series' labels and value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ENDS: Final = "{{ if lt $value 0.0 }}has expired{{ else }}expires in {{ $value | humanizeDuration }}{{ end }}"
"""What is wrong with a certificate: the value is the seconds until its end."""
NOTHING_GATHERED: Final = "has no new figures, so what its other alerts would tell is not known"


@dataclass(frozen=True, slots=True)
class AlertRule:
    """An alert: it fires when `expr` has held for `lasts`; the rest is what a Finding says."""

    name: str
    expr: str
    lasts: str
    where: str
    wrong: str
    do: str
