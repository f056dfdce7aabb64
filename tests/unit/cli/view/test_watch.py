"""The live view: in a terminal, as lines, as JSON."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from rich.console import Console

from provision.adapters.openstack import cloud as clouds
from provision.cli.cluster import status
from provision.cli.view import watch as module
from provision.cli.view.watch import line, picture
from provision.model.view.live import HubUser, LiveState, NodeVitals, RunningApplication
from provision.operations.cluster import nodes as operation
from provision.operations.view import watch as watching

NOW = 1_800_000_000.0
STATE = LiveState(
    "a",
    NOW,
    (
        NodeVitals("a-master", "master", "ACTIVE", "", (0.5, 0.4, 0.3), 2, 2000, 900, 8000, 300),
        NodeVitals(
            "a-worker-1", "worker", "ACTIVE", "", (9.0, 4.0, 3.0), 2, 2000, 900, 8000, 5000, True, 2, 1, 1536, 768
        ),
        NodeVitals("a-worker-2", "worker", "SHUTOFF", "Connection refused", registered=False),
    ),
    (RunningApplication("app-1", "[bold]ours", "alice", NOW - 7300, 1, 768, "RUNNING"),),
    (
        HubUser("alice", servers=1, pending="stop", since=NOW - 60, last_activity=NOW - 5, memory=300),
        HubUser("bob", admin=True),
    ),
    ("The Hub does not answer: timed out.",),
)


def drawn(state, width=120, rows=60):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(picture(state, 5, rows))
    return console.export_text()


def test_the_picture_has_nodes_applications_and_users():
    text = drawn(STATE)
    for words in (
        "cores 1 of 2  memory 768 MiB of 1.5 GiB",
        "worker-2  SHUTOFF  not registered",
        "Connection refused",
        "9.00 of 2",
        "[bold]ours   alice  RUNNING  2 h       1      768 MiB",
        "1, stops",
        "5 s ago",
        "bob (admin)  0",
        "The Hub does not answer",
    ):
        assert words in text


def crowd(nodes=1000, lost=5, applications=3, users=200):
    """A state of a large cluster, of whose nodes some are lost."""
    well = [
        NodeVitals(f"a-worker-{n}", "worker", "ACTIVE", "", (n / 1000, 0, 0), 2, 2000, 900, 8000, 900, registered=True)
        for n in range(nodes - lost)
    ]
    gone = [NodeVitals(f"a-gone-{n}", "worker", "ACTIVE", "No route to host", registered=False) for n in range(lost)]
    apps = [RunningApplication(f"app-{n}", "x", f"u{n}", NOW, 1, 768, "RUNNING") for n in range(applications)]
    people = [HubUser(f"u{n}", servers=int(n == users - 1)) for n in range(users)]
    return LiveState("a", NOW, (*well, *gone), tuple(apps), tuple(people), ("The Hub does not answer.",))


@pytest.mark.parametrize(("rows", "lost"), [(24, 5), (24, 100), (40, 5), (40, 100), (60, 5)])
def test_a_large_cluster_fits_on_the_screen_with_those_in_trouble_first(rows, lost):
    text = drawn(crowd(lost=lost), rows=rows)
    assert len(text.splitlines()) <= rows
    for words in (
        "gone-0",
        "not registered",
        "No route to host",
        "Application",
        "u199  1",
        "more users",
        "Ctrl-C ends it.",
    ):
        assert words in text
    if lost == 5:
        assert "gone-4" in text or rows == 24
    else:
        assert "of them in trouble" in text


def test_what_fits_is_whole():
    text = drawn(crowd(nodes=12, users=3), rows=40)
    assert "more" not in text
    assert text.index("worker-0 ") < text.index("gone-0 ")


def test_a_line_names_few_of_many_nodes():
    text = line(crowd(lost=100))
    assert text.count(" load 0.") == 20
    assert "worker-899 load 0.90; worker-898 load 0.90" in text
    assert "; 880 more nodes with less load; gone-0: No route to host; " in text
    assert "; 80 more nodes with a problem; " in text


def test_an_idle_cluster_says_so():
    text = drawn(LiveState("a", NOW))
    assert "No application runs." in text
    assert "There is no user." in text


def test_a_state_is_one_line():
    text = line(STATE)
    assert "\n" not in text
    for words in (
        "2 of 3 nodes active; 1 of 2 workers registered; cores 1 of 2",
        "worker-1 load 9.00",
        "worker-2: Connection refused",
        "alice '[bold]ours' RUNNING 1 cores for 2 h",
        "alice 1, stops servers",
    ):
        assert words in text


@pytest.fixture
def watched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = []

    def watch(cluster, statuses, every):
        asked.append((cluster, statuses(), every))
        yield from (STATE, STATE)
        raise KeyboardInterrupt

    servers = [SimpleNamespace(name="a-master", status="ACTIVE")]
    monkeypatch.setattr(clouds, "connect", lambda name, source: SimpleNamespace(servers=lambda name: servers))
    monkeypatch.setattr(operation, "find_live_cluster", lambda *_: "cluster")
    monkeypatch.setattr(watching, "watch", watch)
    return asked


def test_elsewhere_than_in_a_terminal_there_are_lines_until_ctrl_c(watched):
    done = CliRunner().invoke(status, ["--watch"], catch_exceptions=False)
    assert done.exit_code == 130
    assert done.stdout.splitlines() == [line(STATE)] * 2
    assert watched == [("cluster", {"a-master": "ACTIVE"}, 5.0)]


def test_a_terminal_that_draws_nothing_in_place_has_lines_too(watched, monkeypatch):
    monkeypatch.setattr(module, "sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True)))
    monkeypatch.setattr(module, "Console", lambda: Console(force_terminal=True, _environ={"TERM": "dumb"}))
    done = CliRunner().invoke(status, ["--watch"], catch_exceptions=False)
    assert done.stdout.splitlines() == [line(STATE)] * 2


def test_json_is_a_document_a_line(watched):
    done = CliRunner().invoke(status, ["--watch", "2", "--json"], catch_exceptions=False)
    assert [json.loads(each)["cluster"] for each in done.stdout.splitlines()] == ["a", "a"]
    assert watched[0][2] == 2.0


def test_in_a_terminal_it_is_drawn_in_place(watched, monkeypatch, capsys):
    monkeypatch.setattr(module, "Console", lambda **_: Console(force_terminal=True, width=100))
    with pytest.raises(module.click.exceptions.Exit) as ended:
        module._draw(watching.watch("cluster", dict, 5.0), 5.0)
    assert ended.value.exit_code == 130
    assert "\x1b[" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--watch", "0"], ["--watch", "soon"]])
def test_bad_intervals_are_bad_usage(watched, words):
    assert CliRunner().invoke(status, words).exit_code == 2
    assert watched == []
