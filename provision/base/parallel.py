"""Work that needs other work first, as much of it at once as the machine bears."""

from __future__ import annotations

import threading
import time
from graphlib import TopologicalSorter
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_Result = TypeVar("_Result")
NODES_AT_ONCE: Final = 64
"""Nodes that are asked at the same time: each takes two processes of ssh and three open files here."""


def in_order(needs: Mapping[str, str], work: Callable[[str], None], *, at_once: int) -> None:
    """Call `work` for each key of `needs` after the one that it needs (a name that is no key needs no work).

    Up to `at_once` calls run at the same time, in threads; those that others wait for come first. The first exception
    is raised at once, also one of this thread (Ctrl-C): no more work is begun, and what is under way ends with the
    process at the latest.
    """
    sorter = TopologicalSorter({name: {needed} & needs.keys() for name, needed in needs.items()})
    sorter.prepare()
    needed_ones = set(needs.values())
    ended: SimpleQueue[tuple[str, BaseException | None]] = SimpleQueue()

    def run(name: str) -> None:
        try:
            work(name)
        except BaseException as error:
            ended.put((name, error))
        else:
            ended.put((name, None))

    ready: list[str] = []
    running = 0
    while sorter.is_active():
        ready.extend(sorter.get_ready())
        ready.sort(key=lambda name: name not in needed_ones)
        while ready and running < at_once:
            # A daemon: nobody waits at the program's end for work that is not wanted any more.
            threading.Thread(target=run, args=(ready.pop(0),), daemon=True).start()
            running += 1
        name, error = ended.get()
        running -= 1
        if error:
            raise error
        sorter.done(name)


def of_each(names: Iterable[str], work: Callable[[str], _Result], *, at_once: int) -> dict[str, _Result]:
    """Call `work` for each name, up to `at_once` at the same time, as `in_order` does; return the results by name."""
    found: dict[str, _Result] = {}

    def keep(name: str) -> None:
        found[name] = work(name)

    wanted = dict.fromkeys(names, "")
    in_order(wanted, keep, at_once=at_once)
    return {name: found[name] for name in wanted}


class Turns:
    """Lets threads begin one after the other: connections that stay open, but are not all to be made at once."""

    def __init__(self, a_second: int) -> None:
        self._apart = 1 / a_second
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait until it is this thread's turn."""
        with self._lock:
            time.sleep(self._apart)
