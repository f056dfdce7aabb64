"""The list of commands: help texts, and what `--help` imports."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from provision.cli.main import COMMANDS, cli


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_has_the_first_sentence_of_each_commands_help(name):
    command = cli.get_command(click.Context(cli), name)
    paragraph = " ".join(command.help.split("\n\n")[0].split())
    assert paragraph.startswith(COMMANDS[name][1]), f"COMMANDS in provision/cli/main.py differs: {paragraph!r}"
    assert COMMANDS[name][1].endswith(".")


def test_help_imports_no_command():
    script = (
        "import sys; from provision.cli.main import cli; cli(['--help'], standalone_mode=False); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = done.stdout.split()
    assert "provision.cli.main" in modules
    assert not {target.partition(":")[0] for target, _ in COMMANDS.values()} & set(modules)
