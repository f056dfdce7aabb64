"""Waiting: ask again and again until there is an answer, for a bounded time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.base.errors import ProvisionError

_Answer = TypeVar("_Answer")


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
