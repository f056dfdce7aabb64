"""Questions that do not wait for each other: each is asked in a thread of its own."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Answer = TypeVar("_Answer")


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
