"""Waiting: ask again and again until there is an answer, for a bounded time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from provision.base.errors import ProvisionError

_Answer = TypeVar("_Answer")
REST: Final = 10
"""How many times as long as a question took it is left alone: it takes up at most so small a part of who answers it."""
LONGEST_REST: Final = 60
"""Seconds after which it may be asked again in any case: one may have taken long for the answerer's own restart."""


@dataclass(frozen=True, slots=True)
class Pending:
    """There is no answer yet; `reason` says in words what is missing: `keystone API, glance API`."""

    reason: str


def until(
    ask: Callable[[], _Answer | Pending],
    *,
    timeout: float,
    too_late: Callable[[str], ProvisionError],
    every: float = 1,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> _Answer:
    """Call `ask` every so many seconds until it returns something other than Pending, and return that.

    It is called once more than the timeout allows for, so that a slow answer still counts. After `timeout` seconds
    `too_late` is given the last reason and makes the error that is raised.
    """
    deadline = clock() + timeout
    while True:
        answer = ask()
        if not isinstance(answer, Pending):
            return answer
        if clock() > deadline:
            raise too_late(answer.reason)
        sleep(every)


class Pace:
    """When a question may be asked again: one that is answered at once soon, one that takes long seldom."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due = float("-inf")

    def due(self) -> bool:
        """Whether enough time has passed since the last answer."""
        return self._clock() >= self._due

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Note how long the question takes that is asked in here."""
        began = self._clock()
        yield
        ended = self._clock()
        self._due = ended + min(REST * (ended - began), LONGEST_REST)
