"""Consent: given with --yes, asked for on a terminal, and refused where nobody can be asked."""

from __future__ import annotations

import io
import sys

import click
import pytest

from provision.base.errors import UsageError
from provision.cli.asking import ask, require_consent


@pytest.fixture
def typed(monkeypatch):
    """Type these answers, on a terminal or not."""

    def type_(text, *, terminal):
        answers = io.StringIO(text)
        monkeypatch.setattr(answers, "isatty", lambda: terminal, raising=False)
        monkeypatch.setattr(sys, "stdin", answers)

    return type_


@pytest.mark.parametrize(("terminal", "yes"), [(True, False), (True, True), (False, True)])
def test_consent_can_be_had(typed, terminal, yes):
    typed("", terminal=terminal)
    require_consent("this removes everything", yes=yes)


def test_nobody_can_be_asked(typed):
    typed("", terminal=False)
    with pytest.raises(UsageError, match="this removes everything") as caught:
        require_consent("this removes everything", yes=False)
    assert "--yes" in caught.value.hint


@pytest.mark.parametrize(("text", "default"), [("y\n", False), ("yes\n", False), ("\n", True)])
def test_yes(typed, text, default):
    typed(text, terminal=True)
    ask("Do this?", default=default)


@pytest.mark.parametrize(("text", "default"), [("n\n", True), ("\n", False), ("", True)])
def test_anything_else_ends_the_command(typed, capsys, text, default):
    typed(text, terminal=True)
    with pytest.raises(click.exceptions.Exit) as ended:
        ask("Do this?", default=default)
    assert ended.value.exit_code == 1
    assert "Nothing was changed." in capsys.readouterr().err
