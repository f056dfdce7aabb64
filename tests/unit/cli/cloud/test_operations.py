"""The operators' commands' own part: options, colours, and the ways a command ends."""

from __future__ import annotations

import sys

import click
import pytest
from click.testing import CliRunner

from provision.base.errors import UsageError
from provision.cli.cloud import operations
from provision.model.localcloud.logs import Line, LogSource


@pytest.mark.parametrize(
    "options", [["--grep", "("], ["--since", "soon"], ["--request-id", "abc"], ["--since", "10m", "--grep", "[x"]]
)
def test_bad_options_of_logs_are_bad_usage_before_docker_is_asked(options, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    with pytest.raises(UsageError, match="--"):
        CliRunner().invoke(operations.logs, options, catch_exceptions=False)


@pytest.mark.parametrize(
    ("terminal", "variables", "coloured"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_services_are_coloured_in_a_terminal_only(terminal, variables, coloured, monkeypatch):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    paint = operations.painter()
    first, again, other = paint("nova-api", "nova-api-1"), paint("nova-api", "nova-api-1"), paint("glance", "glance-1")
    assert (first != "nova-api-1") == coloured
    assert first == again
    assert click.unstyle(other) == "glance-1"
    if coloured:
        assert first.partition("nova")[0] != other.partition("glance")[0]


def test_interrupting_ends_without_a_word():
    def lines():
        yield "one"
        raise KeyboardInterrupt

    with pytest.raises(click.exceptions.Exit) as ended:
        operations._print(lines())
    assert ended.value.exit_code == 130


@pytest.mark.parametrize(
    ("options", "terminal", "answer", "expected"),
    [
        (["--yes"], False, "", "done"),
        ([], False, "", UsageError),
        ([], True, "y\n", "done"),
        ([], True, "n\n", "aborted"),
    ],
)
def test_a_cloud_is_overwritten_only_when_somebody_says_so(options, terminal, answer, expected, monkeypatch):
    from provision.operations.localcloud.single import backup

    monkeypatch.setattr(backup, "restore", lambda progress, file, sure: (sure(), click.echo("done")))

    @click.command()
    @click.pass_context
    def outer(context):
        monkeypatch.setattr(sys.stdin, "isatty", lambda: terminal, raising=False)
        context.exit(operations.restore.main(["file", *options], standalone_mode=False) or 0)

    runner = CliRunner()
    if expected is UsageError:
        with pytest.raises(UsageError, match="replaces all its data"):
            runner.invoke(outer, [], input=answer, catch_exceptions=False)
        return
    result = runner.invoke(outer, [], input=answer)
    assert ("done" in result.output) == (expected == "done")
    assert result.exit_code == (0 if expected == "done" else 1)
    assert ("Nothing was changed." in result.output) == (expected == "aborted")


@pytest.mark.parametrize(("found", "word"), [([], "No log line matches req-1200fdca"), (["one"], "")])
def test_a_search_that_finds_nothing_says_so(found, word, monkeypatch):
    copy = LogSource("a", "nova-api", "nova-api-1")
    monkeypatch.setattr("provision.operations.localcloud.logs.copies_of", lambda *_: [copy])
    lines = [Line("2026-01-01T00:00:00Z", copy.name, text, copy.service) for text in found]
    monkeypatch.setattr("provision.operations.localcloud.logs.stack_logs", lambda *_: lines)
    monkeypatch.setattr("provision.operations.localcloud.logs.door_to_logs", lambda _: None)
    done = CliRunner().invoke(operations.logs, ["--request-id", "req-1200fdca"], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stderr.startswith(word)
    assert bool(done.stderr) == bool(word)
    assert bool(done.stdout) == bool(found)
