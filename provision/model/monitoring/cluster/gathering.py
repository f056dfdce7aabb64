"""How often a cluster's metrics are gathered, and what that takes of the Hub's node, by the number of workers.

A worker has about a thousand series: every 10 seconds, 5 MB a day and a KiB of memory for each. Steps are of a hundred
workers, so that one more of them seldom changes another node's settings.
"""

from __future__ import annotations

from dataclasses import dataclass

from provision.model.monitoring.panels import EVERY


@dataclass(frozen=True, slots=True)
class Gathering:
    """What is different in a large cluster."""

    hundreds: int
    """Workers, in hundreds begun."""

    @property
    def every(self) -> int:
        """Seconds between two looks at a node: as of 170 nodes at most, the store has so much to write."""
        return min(max(EVERY, 6 * self.hundreds), 60)

    @property
    def memory(self) -> int:
        """MiB that all of it takes: the store 40 to 80, the page in the Hub 50, the rest 60; of many it is more."""
        return 160 + 128 * (self.hundreds - 1)

    @property
    def caches(self) -> int:
        """MiB of that for the store's caches."""
        return 64 * self.hundreds

    @property
    def room(self) -> int:
        """MiB of the disk that the store leaves free: people's homes are on it too.

        Of few workers it takes little, and goes on until after the alert that the disk is full (ROOM in
        provision/model/doctor/words.py).
        """
        return 128 if self.hundreds == 1 else 1024 * self.hundreds


def gathering(workers: int) -> Gathering:
    """Return how the metrics of so many workers are gathered."""
    return Gathering(max(-(-workers // 100), 1))
