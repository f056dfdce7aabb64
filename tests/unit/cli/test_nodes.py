"""The commands for nodes: their arguments, what they print, and their exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from provision.adapters import ssh
from provision.adapters.cluster_dir import ClusterDir
from provision.adapters.host.process import Result
from provision.base.errors import UsageError
from provision.base.model import Addresses, ClusterSpec, Node
from provision.cli.nodes import inventory, run, split, verify
from provision.cli.nodes import ssh as ssh_command
from provision.operations.cluster.nodes import LiveCluster
from provision.operations.cluster.verify import VerifyCheck, VerifyReport

if TYPE_CHECKING:
    from pathlib import Path


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


class Fleet:
    """Stands for adapters.ssh.Fleet."""

    def __init__(self, codes: dict[str, int]) -> None:
        self.codes = codes
        self.lines: list[str] = []

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, nodes: tuple[Node, ...], command: str, *, timeout: float | None) -> dict[str, Result]:
        self.lines.append(command)
        return {
            node.name: Result((command,), self.codes.get(node.name, 0), f"{node.name} speaks\n", "") for node in nodes
        }


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fleet:
    """A cluster of three nodes, where `find_live_cluster` finds it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    made = Fleet({"a-worker-2": 3})
    monkeypatch.setattr(ssh, "Fleet", lambda folder, nodes: made)
    nodes = (
        Node("a-master", "master", "10.0.0.1"),
        Node("a-worker-1", "worker", "10.0.0.2"),
        Node("a-worker-2", "worker", "10.0.0.3"),
    )
    cluster = LiveCluster(
        ClusterSpec("a"),
        nodes,
        Addresses("10.0.0.1", "192.0.2.1"),
        {"master": {}, "worker": {}},
        ClusterDir("a"),
        tmp_path / "ssh_config",
    )
    monkeypatch.setattr("provision.operations.cluster.nodes.find_live_cluster", lambda spec, source, **_: cluster)
    return made


def invoke(command: click.Command, *arguments: str) -> click.testing.Result:
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


@pytest.mark.parametrize(
    ("words", "line"), [(["uptime | cut -c 1-20"], "uptime | cut -c 1-20"), (["ls", "a b"], "ls 'a b'")]
)
def test_run_on_every_node(fleet: Fleet, words: list[str], line: str) -> None:
    result = invoke(run, "--", *words)
    assert fleet.lines == [line]
    assert result.exit_code == 3
    assert result.stdout == "a-master speaks\na-worker-1 speaks\na-worker-2 speaks\n"
    assert "a-worker-1: ok" in result.stderr
    assert "a-worker-2: exit code 3" in result.stderr


def test_run_on_one_role_as_json(fleet: Fleet) -> None:
    result = invoke(run, "--role", "master", "--json", "--", "true")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"a-master": {"code": 0, "stdout": "a-master speaks\n", "stderr": ""}}


def test_ssh_ends_with_the_commands_exit_code(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = []
    monkeypatch.setattr("os.spawnvp", lambda mode, program, argv: calls.append(argv) or 7)
    monkeypatch.setattr("sys.argv", ["provision", "ssh", "worker-1", "--", "false"])
    assert invoke(ssh_command, "worker-1", "--", "false").exit_code == 7
    assert calls == [["ssh", "-F", str(tmp_path / "ssh_config"), "a-worker-1", "--", "false"]]


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (1, 1)])
def test_verify_shows_what_failed(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, failed: int, code: int) -> None:
    checks = [VerifyCheck("master is alive", passed=True, message="", seconds=1)]
    checks += [VerifyCheck("java is 21", passed=False, message="it is 17", seconds=1)] * failed
    report = VerifyReport(checks, 2)
    monkeypatch.setattr("provision.operations.cluster.verify.verify", lambda cluster, progress, only: report)
    result = invoke(verify)
    assert result.exit_code == code
    assert f"1 passed, {failed} failed in 2.0 s" in result.stdout
    assert ("✗ java is 21" in result.stdout) is bool(failed)
    assert json.loads(invoke(verify, "--json").stdout)["failed"] == failed


def test_inventory_of_one_host(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveCluster, "inventory", lambda self: {"_meta": {"hostvars": {"a-master": {"x": 1}}}})
    assert json.loads(invoke(inventory, "--host", "a-master").stdout) == {"x": 1}
    assert "_meta" in json.loads(invoke(inventory, "--list").stdout)
    for name in ("a-worker-9", ""):
        with pytest.raises(UsageError, match=f"there is no node '{name}'"):
            invoke(inventory, "--host", name)
    assert invoke(inventory, "--host", "a-master", "--list").exit_code == 2


def test_an_expression_that_is_none_is_refused_before_the_cloud_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provision.operations.cluster.nodes.find_live_cluster", lambda *_: pytest.fail("it was asked"))
    with pytest.raises(UsageError, match="is no expression of pytest's: expected") as refused:
        invoke(verify, "-k", "((")
    assert "`and`" in refused.value.hint


def test_no_time_is_no_number_of_seconds(fleet: Fleet) -> None:
    done = invoke(run, "--timeout", "nan", "--", "uptime")
    assert (done.exit_code, fleet.lines) == (2, [])
    assert "'nan' is not a number of seconds" in done.stderr
