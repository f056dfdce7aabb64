"""Words that the rules about the `local` cloud share."""

from __future__ import annotations

from typing import Final

UP: Final = "`provision cloud up`"
"""The command that repairs most things."""


def logs(name: str) -> str:
    """Return the command that shows a service's log."""
    return f"`provision cloud logs {name}`"
