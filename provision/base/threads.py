"""Questions that do not wait for each other: each is asked in a thread of its own."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_Answer = TypeVar("_Answer")
_Thing = TypeVar("_Thing")

NODES_AT_ONCE: Final = 64
"""Nodes that are asked at the same time: each takes two processes of ssh and three open files here."""


def start(question: Callable[[], _Answer]) -> Future[_Answer]:
    """Ask now, and return without the answer. Nobody has to wait for it, not even the end of the program."""
    answer: Future[_Answer] = Future()

    def ask() -> None:
        try:
            answer.set_result(question())
        except BaseException as error:
            answer.set_exception(error)

    # Not of a pool: the end of the program would wait for a pool's threads.
    threading.Thread(target=ask, daemon=True).start()
    return answer


def together(*questions: Callable[[], Any]) -> list[Any]:
    """Ask at the same time; return the answers in the same order, or raise the first one's failure."""
    answers = [start(question) for question in questions]
    return [answer.result() for answer in answers]


def each(work: Callable[[_Thing], _Answer], things: Iterable[_Thing], *, at_once: int) -> list[_Answer]:
    """Do some work for every thing, for up to `at_once` at the same time; return the answers in the same order.

    After a failure nothing more is begun. What is under way ends first, so that who looks then sees what it has done;
    then the first failure is raised.
    """
    left = [*enumerate(things)]
    left.reverse()
    answers: dict[int, _Answer] = {}
    failures: list[BaseException] = []

    def go_on() -> None:
        while not failures:
            try:
                number, thing = left.pop()
            except IndexError:
                return
            try:
                answers[number] = work(thing)
            except BaseException as error:
                failures.append(error)

    try:
        together(*[go_on] * min(at_once, len(left)))
    finally:
        # Ctrl-C reaches this thread alone.
        left.clear()
    if failures:
        raise failures[0]
    return [answers[number] for number in sorted(answers)]


class Turns:
    """Lets threads begin one after the other: connections that stay open, but are not all to be made at once."""

    def __init__(self, a_second: int) -> None:
        self._apart = 1 / a_second
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait until it is this thread's turn."""
        with self._lock:
            time.sleep(self._apart)
