"""Lines of many logs, as they are printed."""

from __future__ import annotations

import pytest
from click.exceptions import Exit

from provision.cli.view import lines
from provision.cli.view.lines import painter, print_lines


def test_lines_are_printed_as_they_come(capsys):
    assert print_lines(iter(["a", "b"]))
    assert capsys.readouterr().out == "a\nb\n"
    assert not print_lines(iter([]))


def test_ctrl_c_ends_with_its_code():
    def interrupted():
        yield "a"
        raise KeyboardInterrupt

    with pytest.raises(Exit) as ended:
        print_lines(interrupted())
    assert ended.value.exit_code == 130


def test_each_writer_has_its_colour_in_a_terminal_alone(monkeypatch):
    assert painter()("a", "text") == "text"
    monkeypatch.setattr(lines.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    paint = painter()
    first, second = paint("a", "x"), paint("b", "x")
    assert first != second
    assert paint("a", "x") == first
