from __future__ import annotations

import click
import pytest

from provision.cli.nodes import split


@pytest.mark.parametrize(
    ("words", "line", "expected"),
    [
        ((), ["provision", "ssh"], (None, ())),
        (("worker-1",), ["provision", "ssh", "worker-1"], ("worker-1", ())),
        (("uptime", "-p"), ["provision", "ssh", "--", "uptime", "-p"], (None, ("uptime", "-p"))),
        (
            ("worker-1", "ls", "--", "x"),
            ["provision", "ssh", "worker-1", "--", "ls", "--", "x"],
            ("worker-1", ("ls", "--", "x")),
        ),
    ],
)
def test_node_and_command_are_told_apart(words: tuple[str, ...], line: list[str], expected: object) -> None:
    assert split(words, line) == expected


def test_two_words_before_the_dash_are_refused() -> None:
    with pytest.raises(click.UsageError):
        split(("worker-1", "uptime"), ["provision", "ssh", "worker-1", "uptime"])
