"""The terminal door: progress on stderr (live in a terminal, plain lines elsewhere), data on stdout."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.base.errors import ProvisionError

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


class TerminalProgress:
    """Progress as a live table in a terminal, as one line per change elsewhere."""

    def __init__(self, console: Console = STDERR) -> None:
        self._console = console
        self._live: Live | None = None
        self._depth = 0
        self._items: dict[str, tuple[str, float]] = {}
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
        began = time.monotonic()
        try:
            yield
        finally:
            self._depth = depth
            seconds = time.monotonic() - began
            self.phases[place] = (depth, name, seconds)
            if depth == 0:
                self._stop()
        if depth == 0:
            self.note(f"[green]✓[/] {_escape(name)} ({duration(seconds)})")

    def update(self, item: str, state: str) -> None:
        """Change one item's line."""
        before = self._items.get(item)
        if before and before[0] == state:
            if self._live:
                self._live.update(self._table())
            return
        self._items[item] = (state, time.monotonic())
        if not self._console.is_terminal:
            self._console.print(f"  {time.strftime('%H:%M:%S')} {item}: {state}", markup=False, soft_wrap=True)
            return
        if self._live is None:
            self._live = Live(self._table(), console=self._console, refresh_per_second=4, transient=False)
            self._live.start()
        self._live.update(self._table())

    def note(self, text: str) -> None:
        """Print one line that stays."""
        self._console.print(text, soft_wrap=True)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for item, (state, since) in self._items.items():
            table.add_row("  " + _escape(item), _escape(state), f"[dim]{duration(time.monotonic() - since)}[/]")
        return table

    def _stop(self) -> None:
        if self._live:
            self._live.update(self._table())
            self._live.stop()
            self._live = None
        self._items.clear()


def print_json(value: object) -> None:
    """Print data on stdout as JSON."""
    import json

    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
