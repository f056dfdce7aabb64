"""How operations report their progress, independently of terminals."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class Progress(Protocol):
    """Receives the progress of an operation; the command line shows it."""

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Time a phase of the operation; phases are listed in the summary, and may be nested."""

    def update(self, item: str, state: str) -> None:
        """Set the state that is shown for an item (a node, a service, an image)."""

    def step(self, item: str, state: str) -> None:
        """As `update`, for one of many small steps: shown only where the next one takes its place."""

    def note(self, text: str) -> None:
        """Print a line that stays on the screen."""


class Silent:
    """Ignores all progress."""

    def phase(self, name: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """Do nothing."""
        return nullcontext()

    def update(self, item: str, state: str) -> None:
        """Do nothing."""

    def step(self, item: str, state: str) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""
