"""A finding: one thing that is wrong with the `local` cloud, in words, and helpers to word it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

UP: Final = "`provision cloud up`"
"""The command that repairs most things."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: the rule that found it, where it is, what is wrong, and what to do."""

    rule: str
    where: str
    wrong: str
    """Predicate of a sentence whose subject is `where`, without the full stop."""
    do: str
    """What to do, in full sentences."""


def text(findings: Iterable[Finding]) -> str:
    """Write findings for a person."""
    found = list(findings)
    if not found:
        return "Nothing is wrong."
    lines = [f"{number}. {each.where}: {each.wrong}.\n   {each.do}" for number, each in enumerate(found, 1)]
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


def logs(name: str) -> str:
    """Return the command that shows a service's log."""
    return f"`provision cloud logs {name}`"


def listed(names: Iterable[str], most: int = 4) -> str:
    """List names in order; of more than `most`, only count the rest."""
    found = sorted(names)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more
