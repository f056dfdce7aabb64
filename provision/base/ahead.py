"""Questions to a cloud that are asked before their answers are wanted, so that they do not wait for each other.

A keystoneauth session serves many threads: its login has a lock, and requests' pool gives each its own connection.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from provision.base.threads import start

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

_P = ParamSpec("_P")
_Answer = TypeVar("_Answer")
_Cloud = TypeVar("_Cloud", bound="Asker")
_QUESTIONS: Final[dict[str, Callable[..., Any]]] = {}
"""Every function that `askable` decorates, by its name."""


class Asker:
    """Somebody whose questions can be asked ahead of time."""

    def __init__(self) -> None:
        self._early: dict[tuple[Any, ...], Future[Any]] = {}

    def ask_ahead(self, question: Callable[..., Any], *arguments: Any) -> None:  # noqa: ANN401 - what it takes
        """Ask an `askable` question now, without waiting; the next who asks the same gets its answer, or failure."""
        name = question.__name__
        self._early[name, *arguments] = start(lambda: _QUESTIONS[name](self, *arguments))

    def take(self, question: str, *arguments: Any) -> Future[Any] | None:  # noqa: ANN401
        """Return the answer that was asked for ahead of time. It is given out once: later ones are to be new."""
        return self._early.pop((question, *arguments), None)


def askable(question: Callable[Concatenate[_Cloud, _P], _Answer]) -> Callable[Concatenate[_Cloud, _P], _Answer]:
    """Decorate a question, a method or a function of a cloud, that may be asked ahead of time."""
    name = question.__name__
    _QUESTIONS[name] = question

    @wraps(question)
    def ask(cloud: _Cloud, /, *arguments: _P.args, **options: _P.kwargs) -> _Answer:
        early = None if options else cloud.take(name, *arguments)
        answer: _Answer = early.result() if early else question(cloud, *arguments, **options)
        return answer

    return ask
