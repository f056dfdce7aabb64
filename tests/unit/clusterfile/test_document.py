"""What YAML itself lets pass, and the line of every field."""

from __future__ import annotations

import pytest

from provision.base.errors import UsageError
from provision.clusterfile import load
from provision.clusterfile.document import BadDocument, Problem, parse

# id: text of the file, line that is named, parts of the message, part of the hint
BAD = {
    "not YAML": ("name: [a\ncloud: b", None, ["not YAML"], "line"),
    "tabs": ("name: a\nhub:\n\tport: 1", 3, ["not YAML"], "spaces"),
    "control characters": ("name: a\x00b", None, ["not YAML"], "UTF-8"),
    "empty": ("", None, ["empty"], "name: analytics"),
    "only comments": ("# nothing\n\n", None, ["empty"], "name: analytics"),
    "two documents": ("name: a\n---\nname: b", None, ["2 documents"], "Keep one"),
    "duplicate key": ("name: a\ncloud: x\ncloud: y", 3, ["cloud", "twice", "line 2"], "Keep one"),
    "duplicate nested key": ("name: a\nhub:\n  port: 443\n  port: 444", 4, ["hub.port", "twice"], "Keep one"),
    "merge key": ("x: &x {port: 1}\nname: a\nhub: {<<: *x}", None, ["merge keys", "x: there is no such"], "Correct"),
    "too deep": ("name: a\nhub: " + "[" * 30 + "]" * 30, 2, ["nested"], "init"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_spec(case, refused):
    refused(*BAD[case])


def test_aliases_cannot_grow(tmp_path):
    file = tmp_path / "cluster.yaml"
    rows = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    rows += [f"{n}: &{n} [{', '.join(['*' + p] * 9)}]" for p, n in zip("abcdefgh", "bcdefghi", strict=True)]
    file.write_text("\n".join(rows))
    with pytest.raises(UsageError, match="aliases"):
        load(file)


def test_every_field_has_its_line():
    document = parse("name: a\nhub:\n  port: 443\n  users:\n  - alice\n  - name: bob\n")
    assert document.data == {"name": "a", "hub": {"port": 443, "users": ["alice", {"name": "bob"}]}}
    assert document.problems == ()
    lines = {("name",): 1, ("hub",): 2, ("hub", "port"): 3, ("hub", "users"): 4, ("hub", "users", 1, "name"): 6}
    assert {where: document.line(where) for where in lines} == lines


def test_a_field_that_is_not_there_has_the_line_of_the_one_above_it():
    document = parse("name: a\nhub:\n  port: 443\n")
    assert document.line(("hub", "tls", "cert")) == 2
    assert document.line(("spark", "app_cores")) is None


@pytest.mark.parametrize(
    ("where", "field"),
    [((), ""), (("name",), "name"), (("hub", "users", 1, "name"), "hub.users[1].name")],
)
def test_a_field_as_people_write_it(where, field):
    assert Problem(where, "").field == field


def test_a_value_that_cannot_be_read_is_a_problem_of_its_field():
    (problem,) = parse("name: a\nhub: {port: !!binary é}\n").problems
    assert (problem.field, problem.line) == ("hub.port", 2)


@pytest.mark.parametrize(
    ("text", "read"),
    [("0443", 291), ("7:30", 450), ("010", 8), ("1_0", 10), ("0x10", 16), ("0b11", 3), ("-010", -8), ("1_0.5", 10.5)],
)
def test_a_number_that_yaml_reads_as_another_is_shown_and_refused(text, read):
    (problem,) = parse(f"name: a\nworkers:\n  count: {text}\n").problems
    assert (problem.field, problem.line) == ("workers.count", 3)
    assert problem.wrong == f"YAML reads {text} as another number, {read}"
    assert "in quotes" in problem.fix


@pytest.mark.parametrize("text", ["0", "7", "-7", "+7", "443", "0.5", ".5", "2.", "1.5e+3", "10"])
def test_a_number_that_is_the_same_to_people_stays(text):
    document = parse(f"name: a\nworkers: {{count: {text}}}\n")
    assert (document.problems, document.data["workers"]["count"]) == ((), float(text))


@pytest.mark.parametrize("text", ["022", "1:00:00", "0x10", "1_000", "on", "2026-01-01"])
def test_the_values_of_spark_are_text_as_it_is_written(text):
    document = parse(f"name: a\nspark: {{defaults: {{spark.x: {text}}}}}\n")
    assert (document.problems, document.data["spark"]["defaults"]["spark.x"]) == ((), text)


@pytest.mark.parametrize("text", ["4.1.0", "1.0.0-rc1", "'0443'", '"7:30"', "m1.small", "2026-01-01", "10.20.0.0/24"])
def test_text_that_only_looks_like_a_number_stays(text):
    document = parse(f"name: a\ncloud: {text}\n")
    assert (document.problems, document.data["cloud"]) == ((), text.strip("'\""))


def test_a_number_that_no_field_can_have_is_not_worked_out():
    (problem,) = parse("workers: {count: 99999999999999999999999999}\n").problems
    assert problem.wrong == "it is a number of 26 digits"


def test_brackets_without_end_are_nested_too_deeply():
    with pytest.raises(BadDocument) as caught:
        parse("[" * 5000)
    (problem,) = caught.value.problems
    assert problem.wrong == "it is nested too deeply"
