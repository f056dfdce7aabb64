"""Follow many logs as one: each is read in a thread of its own, and their lines come out in the order of time."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Final

from provision.base.errors import ProvisionError
from provision.model.logs import Line, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

LATE: Final = 0.5
"""Seconds by which a line may arrive later than one that was written after it."""
_MOMENT: Final = 0.1
"""Seconds for which a line is waited for before time is looked at."""


class Following:
    """Logs that are being read. A line is held back for a while, for those that were written before it.

    Where new logs appear, `held` (in seconds) must be longer than the time between two looks for them: their first
    lines are as late as the look that finds them.
    """

    def __init__(self, held: float = LATE) -> None:
        self._window = Window(held)
        # Lines, the name of a log that has ended, or why reading failed.
        self._arrivals: queue.SimpleQueue[Line | str | ProvisionError] = queue.SimpleQueue()
        self._reading: set[str] = set()

    def read(self, name: str, lines: Callable[[], Iterable[Line]]) -> None:
        """Begin to read the log `name`, unless it is being read."""
        if name not in self._reading:
            self._reading.add(name)
            threading.Thread(target=self._read, args=(name, lines), daemon=True).start()

    def lines(self, refresh: Callable[[], None], *, every: float) -> Iterator[Line]:
        """Yield lines for ever; raises ProvisionError that a log has raised.

        `refresh` is called every so many seconds, to read what is new and what has ended.
        """
        refreshed = float("-inf")
        while True:
            if time.monotonic() - refreshed >= every:
                refreshed = time.monotonic()
                refresh()
            for line in self._arrived():
                self._window.push(line, time.monotonic())
            yield from self._window.ready(time.monotonic())

    def _read(self, name: str, lines: Callable[[], Iterable[Line]]) -> None:
        try:
            for line in lines():
                self._arrivals.put(line)
        except ProvisionError as error:
            self._arrivals.put(error)
        self._arrivals.put(name)

    def _arrived(self) -> Iterator[Line]:
        """Yield the lines that have arrived, at most 1000, after waiting a moment for the first."""
        try:
            arrived = self._arrivals.get(timeout=_MOMENT)
            for _ in range(1000):
                if isinstance(arrived, ProvisionError):
                    raise arrived
                if isinstance(arrived, Line):
                    yield arrived
                else:
                    # A log that begins again is read again.
                    self._reading.discard(arrived)
                arrived = self._arrivals.get_nowait()
        except queue.Empty:
            return
