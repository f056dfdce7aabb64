"""Many nodes' journals as one log: what was kept, what comes, and nodes that are lost."""

from __future__ import annotations

import io
import json
import threading
from itertools import islice

import pytest

from provision.adapters.host.process import Result
from provision.base.errors import ProvisionError
from provision.operations.logs import nodes as module
from provision.operations.logs.nodes import JournalQuery, read_journals


def entry(at, text):
    return json.dumps({"at": at, "unit": "x.service", "text": text, "cursor": f"c{at}"}).encode() + b"\n"


END = b'{"cursor": "c0"}\n'
HOLD = object()
"""A connection that stays open, and tells no more."""


class Told(io.RawIOBase):
    """The output of a program on a node."""

    def __init__(self, parts):
        super().__init__()
        self.parts = parts

    def __iter__(self):
        for part in self.parts:
            if part is HOLD:
                threading.Event().wait()
            yield part


class Node:
    """A Remote whose programs tell what they are given, one after the other; the last one again and again."""

    def __init__(self, name, *runs):
        self.name = name
        self.runs = list(runs)
        self.orders = []

    def start(self, program, order):
        self.orders.append(order)
        parts, code = self.runs.pop(0) if len(self.runs) > 1 else self.runs[0]
        return Program(parts, code)


class Program:
    def __init__(self, parts, code):
        self.output, self.code = Told(parts), code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def finish(self):
        return Result((), self.code, "", "Connection refused\n" if self.code else "")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(module, "_RETRY", 0.05)


def test_kept_entries_are_one_log_in_the_order_of_time():
    master = Node("a-master", ([END, entry(1, "m1"), entry(4, "m4")], 0))
    worker = Node("a-worker-1", ([END, entry(2, "w2 0123456789")], 0))
    query = JournalQuery(("x.service",), since=9.0, lines=3)
    lines = list(read_journals([master, worker], query, ["0123456789"], pytest.fail))
    assert [(line.source, line.text) for line in lines] == [
        ("a-master", "m1"),
        ("a-worker-1", "w2 ***"),
        ("a-master", "m4"),
    ]
    assert master.orders == [{"units": ("x.service",), "since": 9.0, "lines": 3, "after": ""}]


def test_logs_of_many_nodes_are_fetched_first_and_few_at_once(monkeypatch):
    monkeypatch.setattr(module, "NODES_AT_ONCE", 2)
    monkeypatch.setattr(module, "_IN_MEMORY", 8)
    running, most = set(), []

    class Busy(Program):
        def __enter__(self):
            running.add(self)
            most.append(len(running))
            return self

        def __exit__(self, *_):
            running.discard(self)

    class Worker(Node):
        def start(self, program, order):
            super().start(program, order)
            parts, code = self.runs[0]
            return Busy(parts, code)

    nodes = [Worker(f"n{n}", ([END, entry(n, f"t{n}"), entry(9, f"u{n}")], 0)) for n in range(6)]
    nodes.append(Worker("n6", ([], 255)))
    lines = read_journals(nodes, JournalQuery(()), [], pytest.fail)
    assert [next(lines).text for _ in range(12)] == [*(f"t{n}" for n in range(6)), *(f"u{n}" for n in range(6))]
    with pytest.raises(ProvisionError, match="log of n6 could not be read"):
        next(lines)
    assert max(most) <= 2


def test_the_others_lines_come_before_the_error():
    nodes = [Node("a-master", ([END, entry(1, "m1")], 0)), Node("a-worker-1", ([], 255))]
    lines = read_journals(nodes, JournalQuery(()), [], pytest.fail)
    assert next(lines).text == "m1"
    with pytest.raises(ProvisionError, match="log of a-worker-1 could not be read") as raised:
        next(lines)
    assert raised.value.detail == "a-worker-1: Connection refused"


def test_following_goes_on_where_the_kept_entries_end():
    master = Node("a-master", ([END, entry(1, "m1")], 0), ([END, entry(3, "m3"), HOLD], 0))
    worker = Node("a-worker-1", ([END], 0), ([END, entry(2, "w2"), HOLD], 0))
    lines = read_journals([master, worker], JournalQuery((), follow=True), [], pytest.fail)
    assert [line.text for line in islice(lines, 3)] == ["m1", "w2", "m3"]
    assert [node.orders[1]["after"] for node in (master, worker)] == ["c1", "c0"]


def test_a_node_that_is_lost_is_tried_again_and_gone_on_with():
    told = []
    runs = [([END, entry(1, "m1")], 0), ([END, entry(2, "m2")], 255), ([], 255), ([END, entry(3, "m3"), HOLD], 0)]
    master = Node("a-master", *runs)
    lines = read_journals([master], JournalQuery((), follow=True), [], told.append)
    assert [line.text for line in islice(lines, 3)] == ["m1", "m2", "m3"]
    assert [order["after"] for order in master.orders[1:4]] == ["c1", "c2", "c2"]
    assert told == [
        "the connection to a-master was lost, and is tried again: Connection refused",
        "a-master is there again.",
    ]


def test_a_node_that_was_never_there_may_come():
    told = []
    late = Node("a-worker-1", ([], 255), ([END, entry(2, "w2")], 0), ([END, HOLD], 0))
    lines = read_journals(
        [Node("a-master", ([END], 0), ([END, HOLD], 0)), late], JournalQuery((), follow=True), [], told.append
    )
    assert next(lines).text == "w2"
    assert "a-worker-1 cannot be reached" in told[0]
    assert told[1] == "a-worker-1 is there again."
