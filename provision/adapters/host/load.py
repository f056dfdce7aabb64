"""How busy this machine is: what makes emulated nodes slow when the local cloud runs here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

BUSY: Final = 1.5
"""Processes that want to run, for each processor, from which the machine counts as busy."""
STOLEN: Final = 0.1
"""Part of the processors' time that a host takes away from this machine, from which it is mentioned."""
_STEAL: Final = 7
"""Column of stolen time in /proc/stat (proc(5)), after user, nice, system, idle, iowait, irq and softirq."""
_COLUMNS: Final = 8


class MachineLoad:
    """Measures the load between two questions."""

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self._stat = stat
        self._before = self._times()

    def describe(self) -> str:
        """Say what slows this machine since the last question; empty if nothing does, or it cannot be told."""
        now = self._times()
        spent = [after - before for after, before in zip(now, self._before, strict=False)]
        self._before = now
        stolen = spent[_STEAL] / sum(spent) if len(spent) == _COLUMNS and sum(spent) > 0 else 0.0
        processors = len(os.sched_getaffinity(0))
        running = os.getloadavg()[0]
        said = []
        if running > BUSY * processors:
            said.append(f"{running:.0f} processes share its {processors} processors")
        if stolen > STOLEN:
            said.append(f"its own host takes {stolen:.0%} of their time away")
        return f"this machine is busy: {', and '.join(said)}" if said else ""

    def _times(self) -> list[int]:
        try:
            first = self._stat.read_text().splitlines()[0].split()
            return [int(each) for each in first[1 : 1 + _COLUMNS]]
        except (OSError, ValueError, IndexError):
            return []
