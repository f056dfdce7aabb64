"""Work that needs other work first, as much of it at once as the machine bears."""

from __future__ import annotations

import threading
from graphlib import TopologicalSorter
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


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
