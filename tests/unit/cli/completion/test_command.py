"""Completion as a shell asks for it, and that it imports nothing that takes long."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from provision.cli.completion import VARIABLE
from provision.cli.completion.command import SHELLS, completion

HEAVY = ("pydantic", "cryptography", "openstack", "jinja2", "requests", "fabric", "ansible")


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script(shell):
    done = CliRunner().invoke(completion, [shell], catch_exceptions=False)
    assert f"{VARIABLE}={shell}_complete" in done.stdout


def test_another_shell_is_refused():
    assert CliRunner().invoke(completion, ["tcsh"]).exit_code == 2


def complete(words, folder):
    """Ask as bash does; return what is completed, and the heavy modules that were imported for it."""
    program = (
        "import atexit, sys\n"
        f"heavy = lambda: [each for each in {HEAVY!r} if each in sys.modules]\n"
        "atexit.register(lambda: print('heavy', *heavy(), file=sys.stderr))\n"
        "from provision.cli.entry import main\nmain()"
    )
    environment = {
        **os.environ,
        VARIABLE: "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return [line.partition(",")[2] for line in done.stdout.splitlines()], done.stderr.split()[1:]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("provision ", {"up", "logs", "report", "completion", "cloud"}),
        ("provision lo", {"logs"}),
        ("provision ssh wor", {"worker-1", "worker-2"}),
        ("provision logs notebook-", {"notebook-alice"}),
        ("provision submit --as ", {"alice"}),
        ("provision backup --user al", {"alice"}),
        ("provision users remove al", {"alice"}),
        ("provision users passwd al", {"alice"}),
        ("provision cloud do", {"doctor", "down"}),
        ("provision status --w", {"--watch"}),
    ],
)
def test_words_are_completed_without_heavy_modules(words, found, tmp_path):
    completed, heavy = complete(words, tmp_path)
    assert found <= set(completed)
    assert heavy == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("provision ssh --file = team.yaml wor", ["worker-1"]),
        ("provision ssh --file team.yaml wor", ["worker-1"]),
        ("provision ssh --file = missing.yaml wor", []),
        ("provision ssh --file = te", ["te"]),
        ("provision run --role = wor", ["workers"]),
        ("provision examples run -p rows = 7 --as ", ["dave"]),
    ],
)
def test_bash_may_write_an_option_with_an_equals_sign(words, found, tmp_path):
    (tmp_path / "team.yaml").write_text("name: team\nworkers: {count: 1}\n")
    (tmp_path / "cluster.yaml").write_text("name: b\nhub: {users: [dave]}\n")
    assert [each for each in complete(words, tmp_path)[0] if each] == found
