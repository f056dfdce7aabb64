"""Output: progress and errors on stderr (a live table in a terminal, plain lines elsewhere), data on stdout."""

from __future__ import annotations

import json
import sys
import threading
import time
import unicodedata
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from provision.model.masking import without_logins

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.base.errors import ProvisionError

SPARE_LINES = 3
"""Lines of the terminal that a live table leaves free: rich cuts off the newest rows of a table that is too high."""
STDERR = Console(stderr=True, highlight=False)


def show_error(error: ProvisionError) -> None:
    """Print an error: what is wrong, the last lines of output, and what to do."""
    STDERR.print(f"[bold red]Error:[/] {escape(shown(error.message))}", soft_wrap=True)
    if error.detail:
        lines = shown(error.detail.rstrip()).splitlines()[-10:]
        STDERR.print("\n".join("  " + line for line in lines), markup=False, soft_wrap=True)
    if error.hint:
        STDERR.print(f"[bold]What to do:[/] {escape(shown(error.hint))}", soft_wrap=True)


def shown(text: str) -> str:
    """Leave out the passwords of URLs, which people write into lists of packages, settings and locations."""
    return visible(without_logins(text))


def visible(text: str) -> str:
    """Spell out control characters, so that a value in a message does not steer the terminal that shows it."""
    return "".join(each if each in "\n\t" or unicodedata.category(each) != "Cc" else ascii(each)[1:-1] for each in text)


def duration(seconds: float) -> str:
    """Format a duration: 4.2 s, 58 s, 3 min 05 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def redraws(console: Console) -> bool:
    """Whether a console shows what changes in place. A terminal that is dumb does not, and rich draws nothing there."""
    return console.is_terminal and not console.is_dumb_terminal


@dataclass(slots=True)
class _Row:
    state: str
    began: float
    """Time at which the item first appeared in its phase."""
    changed: float
    """Time at which its state changed last."""


class TerminalProgress:
    """Progress as a live table in a terminal, and as one line per change elsewhere.

    Only the row that changed last counts its time; another row's change stops it. The rows of a phase disappear when it
    ends, except when it fails: then they show how far it came. Several threads may report.
    """

    def __init__(self, console: Console = STDERR) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._depth = 0
        self._printed: dict[str, str] = {}
        self._rows: dict[str, _Row] = {}
        self.phases: list[tuple[int, str, float]] = []
        """Depth, name and seconds of every finished phase, in the order they began."""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase, and print its name, and its duration once it has succeeded."""
        index = len(self.phases)
        depth = self._depth
        self.phases.append((depth, name, 0.0))
        self._depth += 1
        if depth == 0:
            self.note(f"[bold]{escape(name)}[/]")
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
            self.phases[index] = (depth, name, seconds)
            if depth == 0:
                self._stop(keep=failed)
                self._rows = {}
            elif not failed:
                self._rows = outer
        if depth == 0:
            self.note(f"[green]✓[/] {escape(name)} ({duration(seconds)})")

    def update(self, item: str, state: str) -> None:
        """Set the state that is shown for an item."""
        with self._lock:
            if redraws(self._console):
                self._show(item, state)
            else:
                self._print(item, state)

    def step(self, item: str, state: str) -> None:
        """Set the state in a live table; without a terminal a line for each step would hide the others."""
        if redraws(self._console):
            self.update(item, state)

    def _show(self, item: str, state: str) -> None:
        if self.phases and not self._depth:
            # Of a thread that goes on after Ctrl-C: nobody would end the table, and show the cursor again.
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
        if self._printed.get(item) != state:
            self._printed[item] = state
            self._console.print(f"  {time.strftime('%H:%M:%S')} {item}: {state}", markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a line that stays on the screen."""
        self._console.print(text, soft_wrap=True)

    def table(self) -> Table:
        """Draw as many rows as fit: those that changed last, in the order in which they appeared."""
        # A copy: rich draws in a thread of its own.
        rows = list(self._rows.items())
        newest = sorted(rows, key=lambda item: item[1].changed)[-max(1, self._console.height - SPARE_LINES) :]
        shown = {item for item, _ in newest}
        table = Table.grid(padding=(0, 2))
        for item, row in rows:
            if item in shown:
                end = time.monotonic() if row is newest[-1][1] else row.changed
                elapsed = duration(end - row.began) if end > row.began else ""
                table.add_row(_line("  " + item), _line(row.state), Text(elapsed, style="dim", no_wrap=True))
        return table

    def _stop(self, *, keep: bool) -> None:
        with self._lock:
            if self._live:
                self._live.transient = not keep
                self._live.stop()
                self._live = None
            self._printed.clear()


def _line(text: str) -> Text:
    """Cut off what does not fit: a wrapped row would make the table higher than its number of rows."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def print_json(value: object) -> None:
    """Print data on stdout as JSON."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
