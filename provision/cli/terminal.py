"""The terminal door: progress on stderr (live in a terminal, plain lines elsewhere), data on stdout."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.base.errors import ProvisionError

SPARE_LINES = 3
"""What a live table leaves of a terminal's height: rich cuts off the newest rows of one that is too high."""
STDERR = Console(stderr=True, highlight=False)


def show_error(error: ProvisionError) -> None:
    """Print an error as a person reads it: what, then the last lines of output, then what to do."""
    STDERR.print(f"[bold red]Error:[/] {_escape(error.message)}", soft_wrap=True)
    if error.detail:
        STDERR.print(
            "\n".join("  " + line for line in error.detail.rstrip().splitlines()[-10:]), markup=False, soft_wrap=True
        )
    if error.hint:
        STDERR.print(f"[bold]What to do:[/] {_escape(error.hint)}", soft_wrap=True)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def duration(seconds: float) -> str:
    """Write a time as people say it: 4.2 s, 58 s, 3 min 05 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


@dataclass(slots=True)
class _Row:
    state: str
    began: float
    """When the item first appeared in its phase."""
    changed: float


class TerminalProgress:
    """Progress as a live table in a terminal, as one line per change elsewhere.

    A row's time runs while it is the one that changed last, and stands still from the next one's change on. A phase
    that is over takes its rows with it; those of a failed one stay, since they show how far it came.
    """

    def __init__(self, console: Console = STDERR) -> None:
        self._console = console
        self._live: Live | None = None
        self._depth = 0
        self._said: dict[str, str] = {}
        self._rows: dict[str, _Row] = {}
        self.phases: list[tuple[int, str, float]] = []
        """Depth, name and seconds of every finished phase, in the order they began."""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase; a failed one leaves no line of success."""
        place = len(self.phases)
        depth = self._depth
        self.phases.append((depth, name, 0.0))
        self._depth += 1
        if depth == 0:
            self.note(f"[bold]{_escape(name)}[/]")
        outer = self._rows
        self._rows = {}
        began = time.monotonic()
        failed = True
        try:
            yield
            failed = False
        finally:
            self._depth = depth
            seconds = time.monotonic() - began
            self.phases[place] = (depth, name, seconds)
            if depth == 0:
                self._stop(keep=failed)
                self._rows = {}
            elif not failed:
                self._rows = outer
        if depth == 0:
            self.note(f"[green]✓[/] {_escape(name)} ({duration(seconds)})")

    def update(self, item: str, state: str) -> None:
        """Change one item's line."""
        if not self._console.is_terminal:
            self._print(item, state)
            return
        now = time.monotonic()
        row = self._rows.get(item)
        if row is None:
            self._rows[item] = _Row(state, now, now)
        elif row.state != state:
            row.state, row.changed = state, now
        if self._live is None:
            self._live = Live(get_renderable=self.table, console=self._console, refresh_per_second=4, transient=True)
            self._live.start()

    def _print(self, item: str, state: str) -> None:
        if self._said.get(item) != state:
            self._said[item] = state
            self._console.print(f"  {time.strftime('%H:%M:%S')} {item}: {state}", markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print one line that stays."""
        self._console.print(text, soft_wrap=True)

    def table(self) -> Table:
        """Draw the rows that fit, the last changed ones, in the order in which they appeared."""
        # A copy: rich draws in a thread of its own.
        rows = list(self._rows.items())
        newest = sorted(rows, key=lambda each: each[1].changed)[-max(1, self._console.height - SPARE_LINES) :]
        shown = {item for item, _ in newest}
        table = Table.grid(padding=(0, 2))
        for item, row in rows:
            if item in shown:
                until = time.monotonic() if row is newest[-1][1] else row.changed
                took = duration(until - row.began) if until > row.began else ""
                table.add_row(_line("  " + item), _line(row.state), Text(took, style="dim", no_wrap=True))
        return table

    def _stop(self, *, keep: bool) -> None:
        if self._live:
            self._live.transient = not keep
            self._live.stop()
            self._live = None
        self._said.clear()


def _line(text: str) -> Text:
    """Cut off what does not fit: a wrapped row would make the table higher than it counts."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def print_json(value: object) -> None:
    """Print data on stdout as JSON."""
    import json

    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
