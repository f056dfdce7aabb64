from __future__ import annotations

import json

import pytest
import results
from results import Chart, Result, Table, read, read_all, surroundings, write

FOUND = Result(
    name="tried",
    title="Tried",
    order=3,
    text="What was tried.",
    command="python tests/benchmarks/tried.py",
    tables=(Table(["What", "Time"], [["up", "3 s"]]),),
    charts=(Chart("seconds", "Time", "s", {"up": {"2 workers": 3.0}}),),
    taken={"date": "2026-01-02", "load": 0.1},
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    return tmp_path / "results"


def plain(result):
    return json.loads(json.dumps(results.asdict(result)))


def test_what_is_written_is_read(folder):
    file = write(FOUND)
    assert file == folder / "tried.json"
    assert plain(read(file)) == plain(FOUND)
    assert "after" not in json.loads(file.read_text()), "what is empty is left out"


def test_they_are_read_in_the_order_of_the_page(folder):
    for name, order in (("b", 2), ("a", 2), ("z", 1)):
        write(Result(name=name, title=name, order=order))
    assert [each.name for each in read_all(folder)] == ["z", "a", "b"]


def test_the_surroundings_are_named():
    taken = surroundings()
    assert {"cores", "memory_gib", "kvm", "system"} == {*taken["machine"]}
    assert {"provision", "Python", "openstacksdk"} <= {*taken["versions"]}
    assert len(taken["date"]) == 10
    assert taken["load"] >= 0
