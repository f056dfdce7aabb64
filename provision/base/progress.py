"""How a workflow tells what it is doing, without knowing of terminals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class Progress(Protocol):
    """The listener that the command line gives to every workflow."""

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Time a named phase of the work; phases are listed in the summary and may be nested."""

    def update(self, item: str, state: str) -> None:
        """Set the live line of one item (a node, a service, an image) to `state`."""

    def note(self, text: str) -> None:
        """Say one thing that stays on the screen."""


class Silent:
    """A listener that keeps nothing: for tests and `--quiet`."""

    def phase(self, name: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """Do nothing."""
        from contextlib import nullcontext

        return nullcontext()

    def update(self, item: str, state: str) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""
