"""A finding of a doctor's: one thing that is wrong, in words, and helpers to word it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from provision.model.cluster.resources import natural

if TYPE_CHECKING:
    from collections.abc import Iterable

EVIDENCE_AT_MOST: Final = 6
"""Lines of evidence that a person is shown; JSON has all of them."""
_ALL: Final = 20
"""Names of which none is left out where somebody consents to what happens to them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: the rule that found it, where it is, what is wrong, and what to do."""

    rule: str
    where: str
    wrong: str
    """Predicate of a sentence whose subject is `where`, without the full stop."""
    do: str
    """What to do, in full sentences."""
    evidence: tuple[str, ...] = ()
    """What was seen: lines of logs, states of units, answers."""


def text(findings: Iterable[Finding], well: str = "Nothing is wrong.") -> str:
    """Write findings for a person; `well` is what is said when there are none."""
    found = list(findings)
    if not found:
        return well
    lines = []
    for number, each in enumerate(found, 1):
        lines += [f"{number}. {each.where}: {each.wrong}.", f"   {each.do}"]
        lines += [f"   | {line}" for line in each.evidence[-EVIDENCE_AT_MOST:]]
    if len(found) > 1:
        lines.append("The first may have caused the others: mend it, and run this again.")
    return "\n".join(lines)


def span(seconds: float) -> str:
    """Write a duration for a person: 40 s, 5 min, 3 h, 12 days."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def since(now: datetime, moment: datetime | None) -> str:
    """Say how long ago something was, with a leading space; empty if that is not known."""
    return f" {span(max(0.0, (now - moment).total_seconds()))} ago" if moment else ""


def times(count: int) -> str:
    """Write how often something was: once, 3 times."""
    return "once" if count == 1 else f"{count} times"


def clock(moment: float) -> str:
    """Write a moment (seconds since 1970) as a time of the day."""
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S} UTC"


def named(names: Iterable[str]) -> str:
    """List what somebody consents to in natural order: all of a small cluster; of more than _ALL a few."""
    found = [*names]
    return listed(found, most=_ALL) if len(found) <= _ALL else listed(found)


def listed(names: Iterable[str], most: int = 4) -> str:
    """List names in order, worker-2 before worker-10; of more than `most`, only count the rest."""
    found = sorted(names, key=natural)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more
