"""What a person sees of progress: rows that fit, times that are true, nothing stale; elsewhere, a line a change."""

from __future__ import annotations

import io
import time
from contextlib import suppress

import pytest
from rich.console import Console

from provision.base.errors import ProvisionError
from provision.cli.terminal import SPARE_LINES, TerminalProgress, show_error

HEIGHT = 12


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


def screen():
    return Console(file=io.StringIO(), force_terminal=True, width=60, height=HEIGHT, highlight=False)


def drawn(progress):
    plain = Console(file=io.StringIO(), width=60)
    plain.print(progress.table())
    return [line.rstrip() for line in plain.file.getvalue().splitlines()]


def test_the_time_runs_in_the_row_that_changes_and_stands_still_in_the_others(clock):
    progress = TerminalProgress(screen())
    with progress.phase("images"):
        progress.update("base", "step 1 of 7")
        clock.now += 40
        progress.update("base", "step 2 of 7")
        clock.now += 8
        (row,) = drawn(progress)
        assert row.split() == ["base", "step", "2", "of", "7", "48", "s"]
        progress.update("base", "built")
        clock.now += 1
        progress.update("nova", "step 1 of 3")
        clock.now += 100
        done, running = drawn(progress)
        assert done.split() == ["base", "built", "48", "s"]
        assert running.split() == ["nova", "step", "1", "of", "3", "1", "min", "40", "s"]


def test_the_newest_rows_are_those_that_are_shown(clock):
    progress = TerminalProgress(screen())
    with progress.phase("services"):
        for number in range(40):
            clock.now += 1
            progress.update(f"service-{number}", "starting, with a text that is too long for a line of this terminal")
        clock.now += 1
        progress.update("service-3", "running")
        rows = drawn(progress)
    assert len(rows) == HEIGHT - SPARE_LINES
    assert [row.split()[0] for row in rows] == ["service-3", *(f"service-{number}" for number in range(32, 40))]


def test_a_phase_takes_its_rows_with_it(clock):
    progress = TerminalProgress(screen())
    with progress.phase("cloud"):
        progress.update("outer", "waits")
        with progress.phase("images"):
            progress.update("base", "built")
            assert [row.split()[0] for row in drawn(progress)] == ["base"]
        assert [row.split()[0] for row in drawn(progress)] == ["outer"]
    assert drawn(progress) == [""]


def test_a_thread_that_goes_on_after_ctrl_c_hides_no_cursor():
    console = screen()
    progress = TerminalProgress(console)
    with suppress(KeyboardInterrupt), progress.phase("cloud"):
        progress.update("server a-worker-1", "create …")
        raise KeyboardInterrupt
    progress.update("server a-worker-1", "done")
    # ESC [ ?25l hides the cursor, and ESC [ ?25h shows it.
    assert console.file.getvalue().rpartition("\x1b[?25")[2].startswith("h")


@pytest.mark.parametrize("fails", [True, False])
def test_only_a_failed_phase_leaves_rows_on_the_screen(fails):
    console = screen()
    progress = TerminalProgress(console)
    try:
        with progress.phase("cloud"), progress.phase("hypervisors"):
            progress.update("compute-1", "not reported yet")
            if fails:
                int("no number")
    except ValueError:
        assert fails
    written = console.file.getvalue()
    last = written.rpartition("compute-1")[2]
    # ESC [ 2K erases a line: what was drawn last is gone again, unless it failed.
    assert ("\x1b[2K" in last) != fails
    assert ("✓" in last) != fails


def test_elsewhere_every_change_is_one_line():
    console = Console(file=io.StringIO(), width=60)
    progress = TerminalProgress(console)
    with progress.phase("cloud"):
        with progress.phase("databases"):
            progress.update("mariadb", "created")
            progress.update("mariadb", "running")
        progress.update("mariadb", "running")
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "cloud"
    assert [line.split(maxsplit=1)[1] for line in lines[1:3]] == ["mariadb: created", "mariadb: running"]
    assert lines[3].startswith("✓ cloud (")
    assert len(lines) == 4


def test_a_terminal_that_draws_nothing_in_place_has_lines_too():
    console = Console(file=io.StringIO(), force_terminal=True, width=60, _environ={"TERM": "dumb"})
    progress = TerminalProgress(console)
    with progress.phase("cloud"):
        progress.update("mariadb", "created")
        progress.step("mariadb", "step 1 of 9")
    assert "mariadb: created\n" in console.file.getvalue()
    assert "step 1" not in console.file.getvalue()


def test_an_error_shows_no_password_of_a_url(capsys):
    show_error(
        ProvisionError(
            "https://bob:hunter22@h.org/x failed", "See rest:https://bob:hunter22@h.org.", "ftp://bob:hunter22@h"
        )
    )
    shown = capsys.readouterr().err
    assert "hunter22" not in shown
    assert "https://***@h.org/x failed" in shown
