"""Where click's completion does not fit a shell; test_command.py asks as bash does."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from provision.cli.completion.command import completion
from provision.cli.completion.shells import rejoined


def test_zsh_has_its_own_completion_loaded_before_ours_is_registered():
    script = CliRunner().invoke(completion, ["zsh"], catch_exceptions=False).stdout
    assert script.index("autoload -Uz compinit && compinit -i") < script.index("    compdef _provision_completion")


@pytest.mark.parametrize(
    ("words", "typed"),
    [
        ("ssh --file = team.yaml", ["ssh", "--file=team.yaml"]),
        ("submit --conf spark.x = a = b job.py", ["submit", "--conf", "spark.x=a=b", "job.py"]),
        ("ssh --file =", ["ssh", "--file="]),
        ("= a", ["=a"]),
        ("ssh -f team.yaml", ["ssh", "-f", "team.yaml"]),
        ("", []),
    ],
)
def test_words_that_bash_cuts_at_equals_signs_are_put_together(words, typed):
    assert rejoined(words.split()) == typed
