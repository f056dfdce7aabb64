"""Print the lines of many logs as they come, each writer in a colour of its own."""

from __future__ import annotations

import os
import sys
from itertools import cycle
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_COLOURS: Final = ("cyan", "yellow", "green", "magenta", "blue", "red")


def print_lines(lines: Iterable[str]) -> bool:
    """Print lines as they come, until Ctrl-C or until whoever reads them stops; return whether there were any."""
    found = False
    try:
        for line in lines:
            found = True
            click.echo(line)
    except BrokenPipeError:
        # Python flushes once more when it ends, and would print an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None
    return found


def painter() -> Callable[[str, str], str]:
    """Return a function that gives each service its own colour: in a terminal only, and unless NO_COLOR is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return lambda _, text: text
    colours = cycle([(colour, bold) for bold in (False, True) for colour in _COLOURS])
    assigned: dict[str, tuple[str, bool]] = {}

    def paint(service: str, text: str) -> str:
        if service not in assigned:
            assigned[service] = next(colours)
        colour, bold = assigned[service]
        return click.style(text, fg=colour, bold=bold)

    return paint
