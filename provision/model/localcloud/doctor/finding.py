"""One thing that is wrong with the `local` cloud, in words that a person reads aloud; touches nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

UP: Final = "`provision cloud up`"
"""What puts most things right."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where, what, and what to do."""

    rule: str
    where: str
    wrong: str
    do: str


def text(findings: Iterable[Finding]) -> str:
    """Write findings for a person."""
    found = list(findings)
    if not found:
        return "Nothing is wrong."
    lines = [f"{number}. {each.where}: {each.wrong}.\n   {each.do}." for number, each in enumerate(found, 1)]
    if len(found) > 1:
        lines.append("The first may be the cause of others: mend it, and look again.")
    return "\n".join(lines)


def span(seconds: float) -> str:
    """Write a time as people say it: 40 s, 5 min, 3 h, 12 days."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def since(now: datetime, moment: datetime | None) -> str:
    """Say how long ago something was, after a space; nothing where that is not known."""
    return f" {span(max(0.0, (now - moment).total_seconds()))} ago" if moment else ""


def logs(name: str) -> str:
    """Name the command that shows a service's log."""
    return f"`provision cloud logs {name}`"


def listed(names: Iterable[str], most: int = 4) -> str:
    """List names, and only the number of the rest where they are many."""
    found = sorted(names)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more
