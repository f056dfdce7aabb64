"""The look at a machine before anything on it is changed."""

from __future__ import annotations

import pytest

from provision.base.errors import UsageError
from provision.base.progress import Silent
from provision.model.localcloud.preflight import PreflightCheck
from provision.operations.localcloud.shared import preflight


class Notes(Silent):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def check(level, name):
    return PreflightCheck(level, name, f"{name} says", f"fix {name}")


@pytest.fixture
def machine(monkeypatch):
    """Judge whatever is read as the test says."""
    checks = []
    monkeypatch.setattr(preflight.facts, "read", lambda ports, engine: None)
    monkeypatch.setattr(preflight, "judge", lambda facts, networks: checks)
    return checks


def test_a_machine_that_cannot_run_it_is_bad_usage_with_what_fails(machine):
    machine += [check("ok", "Docker"), check("warn", "memory"), check("fail", "ports")]
    with pytest.raises(UsageError, match="nothing was changed") as caught:
        preflight.require(Silent())
    assert "ports" in caught.value.detail
    assert "memory" not in caught.value.detail
    assert caught.value.exit_code == 2


def test_warnings_are_shown(machine):
    machine += [check("ok", "Docker"), check("warn", "memory")]
    progress = Notes()
    preflight.require(progress)
    assert "memory" in "".join(progress.notes)
    assert "Docker" not in "".join(progress.notes)


@pytest.mark.parametrize(("level", "code"), [("ok", 0), ("warn", 0), ("fail", 2)])
def test_setup_sh_gets_a_code_and_a_person_every_check(machine, capsys, level, code):
    machine += [check("ok", "Docker"), check(level, "ports")]
    assert preflight.main() == code
    shown = capsys.readouterr().err
    assert "Docker" in shown
    assert "ports" in shown
    assert ("Nothing was changed" in shown) == bool(code)
