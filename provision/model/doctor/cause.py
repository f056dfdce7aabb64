"""A cause: a finding, which symptom it is, and which other symptoms it explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from provision.model.doctor.observed import ObservedSparkCluster
    from provision.model.finding import Finding

    Rule = Callable[[ObservedSparkCluster], Iterator["Cause"]]


@dataclass(frozen=True, slots=True)
class Cause:
    """What a rule has found. Symptoms are words of the rules' own, as `unregistered analytics-worker-1`."""

    finding: Finding
    symptoms: frozenset[str] = frozenset()
    """The symptoms that it is: it is left out when all of them are explained already."""
    explains: frozenset[str] = frozenset()
    """The symptoms that follow from it, and are no problems of their own."""


def root_causes(rules: Iterable[Rule], seen: ObservedSparkCluster) -> list[Finding]:
    """Apply the rules in their order, causes before what follows from them, and leave out what is explained."""
    found: list[Finding] = []
    explained: set[str] = set()
    for rule in rules:
        for cause in rule(seen):
            if cause.symptoms and cause.symptoms <= explained:
                continue
            explained |= cause.explains
            found.append(cause.finding)
    return found


# --- the symptoms that more than one rule speaks of


def unasked(node: str) -> str:
    """Return the symptom of a node that could not be asked."""
    return f"unasked {node}"


def unregistered(node: str) -> str:
    """Return the symptom of a worker that the Spark master does not list."""
    return f"unregistered {node}"


def closed(node: str, port: int) -> str:
    """Return the symptom of a port that cannot be reached on a node."""
    return f"closed {node}:{port}"


def not_well(node: str, unit: str) -> str:
    """Return the symptom of a unit that does not run on a node."""
    return f"unit {unit} of {node}"


def unmounted(node: str) -> str:
    """Return the symptom of a worker that does not see homes or /shared."""
    return f"unmounted {node}"


WAITING = "waiting"
"""The symptom of applications that get no cores."""
NO_EXECUTORS = "executors"
"""The symptom of executors that end at once, or never reach their driver."""
HUB = "hub"
"""The symptom of a Hub that does not answer."""
SPARK = "spark"
"""The symptom of a Spark master that does not answer."""
