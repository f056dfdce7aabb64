"""What of the nodes' journals may be asked for, and lines of what a node tells."""

from __future__ import annotations

import json

import pytest

from provision.base.paths import TEMPLATES
from provision.model.cluster.journal import JournalReader, choose, known_units, listed

NODES = ("a-master", "a-worker-1", "a-worker-11")
UNITS = known_units(TEMPLATES, ["alice", "bob"])


def test_the_units_are_those_of_the_image_and_the_users():
    assert {"spark-master.service", "jupyterhub.service", "cloud-final.service", "nfs-server.service"} <= set(UNITS)
    assert {"provision-executor@*.service", "home.automount", "notebook-bob.service", "job-*.service"} <= set(UNITS)
    assert not [unit for unit in UNITS if unit.endswith(".d")]


SPARK_UNITS = ("history.service", "history.socket", "master.service", "worker.service")


@pytest.mark.parametrize(
    ("words", "nodes", "units"),
    [
        ((), NODES, UNITS),
        (("worker-1",), ("a-worker-1",), UNITS),
        (("a-worker-11", "master"), ("a-master", "a-worker-11"), UNITS),
        (("spark-worker",), NODES, ("spark-worker.service",)),
        (("spark-worker.service", "worker-1"), ("a-worker-1",), ("spark-worker.service",)),
        (("home.automount",), NODES, ("home.automount",)),
        (("spark-*",), NODES, tuple(f"spark-{each}" for each in SPARK_UNITS)),
        (("notebook-*",), NODES, ("notebook-alice.service", "notebook-bob.service", "notebook-*.service")),
        (("notebook-alice", "notebook-alice"), NODES, ("notebook-alice.service",)),
        (("provision-executor@0-1-999",), NODES, ("provision-executor@0-1-999.service",)),
    ],
)
def test_nodes_and_units_are_chosen_by_name(words, nodes, units):
    choice = choose(words, "a", NODES, UNITS)
    assert (choice.nodes, choice.units) == (nodes, units)


@pytest.mark.parametrize("word", ["spark-wrker", "notebook-carol", "worker-2", "x@1", "", "job-train-4"])
def test_what_there_is_not(word):
    with pytest.raises(KeyError):
        choose(["master", word], "a", NODES, UNITS)


def test_all_that_there_is_can_be_said():
    text = listed(NODES, ["spark-master.service", "notebook-alice.service"], ["count-1"])
    assert text == f"Nodes: {', '.join(NODES)}. Units: spark-master, notebook-alice. Jobs: count-1."
    assert listed(NODES, [], []).endswith("There is no job.")


def entry(at, text, unit="spark-worker.service", cursor="c"):
    return json.dumps({"at": at, "unit": unit, "text": text, "cursor": cursor}).encode() + b"\n"


def read(*told, secrets=()):
    reached = []
    reader = JournalReader("a-worker-1", secrets)
    return list(reader.lines(told, lambda: reached.append(1))), reader, reached


def test_entries_are_lines_in_their_order():
    lines, reader, reached = read(
        b'{"cursor": "c0"}\n', entry(5, "z", cursor="c1"), entry(5, "a", cursor="c2"), entry(6, "m", cursor="c3")
    )
    assert [line.text for line in sorted(lines)] == ["z", "a", "m"]
    assert [line.time for line in lines] == [f"1970-01-01T00:00:00.00000{each}Z" for each in ("5000", "5001", "6000")]
    assert {(line.source, line.service) for line in lines} == {("a-worker-1", "spark-worker")}
    assert reader.cursor == "c3"
    assert len(reached) == 4


def test_a_node_without_an_entry_is_gone_on_with_from_its_journals_end():
    lines, reader, _ = read(b'{"cursor": "c0"}\n')
    assert lines == []
    assert reader.cursor == "c0"


def test_what_was_cut_off_is_left_out():
    lines, reader, reached = read(b"\n", b'{"at": 5, "uni', b"[1]\n")
    assert (lines, reader.cursor, reached) == ([], "", [])


def test_a_line_neither_steers_the_terminal_nor_tells_secrets():
    (line,), _, _ = read(
        entry(5, "\x1b[31mred\x1b[0m 0123456789\nnext\r", unit="\x1b[2Jx.service"), secrets=["0123456789"]
    )
    assert line.text == "red ***\nnext"
    assert line.service == "x"
