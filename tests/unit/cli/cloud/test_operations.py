"""The operators' commands' own part: options, colours, and the ways a command ends."""

from __future__ import annotations

import json
import sys

import click
import pytest
from click.testing import CliRunner

from provision.base.errors import UsageError
from provision.cli.cloud import operations
from provision.model.finding import Finding
from provision.model.localcloud.logs import LogSource


class FakeCloud:
    """A local cloud with one container, whose log are these frames."""

    def __init__(self, frames=(), findings=()):
        self._frames, self._findings = frames, findings

    def restore(self, progress, file, confirm):
        confirm()
        click.echo("done")

    def backup(self, progress, file, *, images):
        file.write_text("with images" if images else "without images")

    def diagnose(self):
        return self._findings

    def logs(self, report):
        return self

    def sources(self):
        return [LogSource("a", "nova-api", "nova-api-1")]

    def frames(self, source, **_):
        return iter(self._frames)


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
    monkeypatch.setattr(operations, "local_cloud", FakeCloud)

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
    frames = [f"2026-01-01T00:00:00.000000000Z {text} req-1200fdca\n".encode() for text in found]
    monkeypatch.setattr(operations, "local_cloud", lambda: FakeCloud(frames))
    done = CliRunner().invoke(operations.logs, ["--request-id", "req-1200fdca"], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stderr.startswith(word)
    assert bool(done.stderr) == bool(word)
    assert bool(done.stdout) == bool(found)


@pytest.mark.parametrize("images", [True, False])
def test_a_backup_says_how_large_its_file_is(tmp_path, images, monkeypatch):
    monkeypatch.setattr(operations, "local_cloud", FakeCloud)
    file = tmp_path / "cloud.tar.gz"
    done = CliRunner().invoke(operations.backup, [str(file), *(["--images"] if images else [])])
    assert done.exit_code == 0
    assert file.read_text() == ("with images" if images else "without images")


FINDING = Finding("disks", "host-1", "is full", "Free some space.")


@pytest.mark.parametrize(("findings", "code"), [([], 0), ([FINDING], 1)])
def test_the_doctor_ends_with_1_when_something_is_wrong(findings, code, monkeypatch):
    monkeypatch.setattr(operations, "local_cloud", lambda: FakeCloud(findings=findings))
    done = CliRunner().invoke(operations.doctor, ["--json"])
    assert done.exit_code == code
    document = json.loads(done.stdout)
    assert document["healthy"] == (not findings)
    assert [each["where"] for each in document["findings"]] == ["host-1"] * len(findings)
