"""An alert rule. Its texts are templates of vmalert: it fills in a series' labels and value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from provision.model.monitoring.panels import EVERY

ENDS: Final = "{{ if lt $value 0.0 }}has expired{{ else }}expires in {{ $value | humanizeDuration }}{{ end }}"
"""What is wrong with a certificate: the value is the seconds until its end."""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """An alert: it fires when `expr` has held for `lasts`; the rest is what a Finding says."""

    name: str
    expr: str
    lasts: str
    where: str
    wrong: str
    do: str

    def looked_at(self, every: int) -> AlertRule:
        """Return the rule for a store that looks so often: it holds for as many looks as before, three at most."""
        count, unit = int(self.lasts[:-1]), self.lasts[-1]
        lasts = count * {"s": 1, "m": 60}[unit]
        longer = min(lasts // EVERY, 3) * every
        return replace(self, lasts=f"{longer}s") if longer > lasts else self


def gathered(every: int = EVERY) -> str:
    """Ask for what was asked in the last minute, or at the last three looks.

    `up` alone is repeated for five minutes where nothing says that it has ended, and nothing does while the store's
    disk is full.
    """
    return f"count_over_time(up[{f'{3 * every}s' if 3 * every > 60 else '1m'}])"


def nothing_gathered(do: str, every: int = EVERY) -> AlertRule:
    """Return the rule that comes before all others, which are silent without figures."""
    wrong = "has no new figures, so what its other alerts would tell is not known"
    return AlertRule("NothingGathered", f"absent({gathered(every)})", "1m", "monitoring", wrong, do)
