"""The commands for examples: what they print, write and refuse, and their exit codes."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from provision.base.errors import ProvisionError, UsageError
from provision.cli.examples.commands import _opened, examples
from provision.model.examples.notebooks import Cell, Example
from provision.operations.data.transfer import Transferred
from provision.operations.examples import run as operation
from provision.operations.jobs.submit import Job

BREAKS = {"stopped": KeyboardInterrupt(), "lost": ProvisionError("the connection to a-master was lost")}
LIMITS = {"memory": 700, "tasks": 500, "cores": None}


def example(name, *packages):
    cells = (
        Cell("# T", markdown=True),
        Cell("rows = 5", tags=("parameters",)),
        Cell("assert rows >= 1", tags=("bounds",)),
    )
    return Example(name, f"Title of {name}", f"It is {name}.", packages, {"name": "pyspark"}, cells)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A cluster with two users; `bad` fails, `killed` leaves no page, those of BREAKS end it. Returns what was run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cluster.yaml").write_text("name: a\nhub: {users: [alice, bob]}\n")
    known = {
        each.name: each for each in (example("good"), example("bad"), example("killed"), example("big", "prophet"))
    }
    cluster = SimpleNamespace(
        hub_context={"hub": {"limits": LIMITS}},
        ssh_config=tmp_path / "ssh_config",
        hub=SimpleNamespace(name="analytics-master"),
    )
    monkeypatch.setattr("provision.operations.cluster.nodes.find_live_cluster", lambda spec, source, **_: cluster)
    asked = []

    def run(master, chosen, *, parameters, user, limits, told, page, errors):
        asked.append((chosen.name, parameters, user))
        told(f"{chosen.name}-1")
        if chosen.name != "killed":
            page.write(b"<html>")
        if chosen.name in BREAKS:
            raise BREAKS[chosen.name]
        good = chosen.name in ("good", "big")
        return Job(f"{chosen.name}-1", user, "x", (), "succeeded" if good else "failed", 0 if good else 1, 1.0, 80.0)

    monkeypatch.setattr(operation, "examples", lambda: known)
    monkeypatch.setattr(operation, "bring", lambda master, progress: asked.append("brought") or Transferred(3, 9))
    monkeypatch.setattr(operation, "run", run)
    return asked


def invoke(*words):
    return CliRunner().invoke(examples, words, catch_exceptions=False)


def test_they_are_listed(asked):
    done = invoke("list")
    assert done.stdout.splitlines()[:3] == ["good: It is good.", "    rows=5", "    with rows >= 1"]
    assert "needs in `packages`: prophet" in done.stdout
    described = json.loads(invoke("list", "--json").stdout)[3]
    assert (described["packages"], described["bounds"]) == (["prophet"], ["rows >= 1"])
    assert asked == []


def test_they_are_brought(asked):
    assert invoke("put").stdout == "3 files written, 0 removed.\n"


def test_one_runs_with_a_parameter(asked, tmp_path):
    done = invoke("run", "good", "--as", "bob", "-o", "out", "-p", "rows=7")
    assert done.exit_code == 0
    assert asked == ["brought", ("good", {"rows": 7}, "bob")]
    assert done.stdout == "good: passed after 80 s, out/good.html\n"
    assert (tmp_path / "out/good.html").read_text() == "<html>"


def test_the_others_go_on_when_one_fails(asked, tmp_path):
    done = invoke("run", "--as", "bob")
    assert done.exit_code == 1
    assert [each[0] for each in asked[1:]] == ["good", "bad", "killed"]
    assert "Left out: big. It needs prophet" in done.stderr
    assert "Failed: bad, killed." in done.stderr
    assert "killed: FAILED after 80 s\n" in done.stdout
    assert sorted(path.name for path in (tmp_path / "examples-out").iterdir()) == ["bad.html", "good.html"]


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_off_leaves_no_part_of_a_page_and_says_what_has_failed(asked, tmp_path, monkeypatch, name):
    known = {each: example(each) for each in ("bad", name, "good")}
    monkeypatch.setattr(operation, "examples", lambda: known)
    done = CliRunner().invoke(examples, ["run", "--as", "bob", "-o", "out"])
    assert done.exit_code == 1
    assert [each[0] for each in asked[1:]] == ["bad", name]
    assert "Failed: bad. " in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["bad.html"]
    CliRunner().invoke(examples, ["run", name, "--as", "bob", "-o", "alone"])
    assert list((tmp_path / "alone").iterdir()) == []


def test_two_runs_into_one_folder_write_files_of_their_own(asked, tmp_path, monkeypatch):
    def another_run(master, chosen, *, page, **given):
        (part,) = (tmp_path / "out").iterdir()
        monkeypatch.setattr(os, "getpid", lambda: 7)
        with _opened(tmp_path / "out/good.html") as other:
            other.write(b"other")
        assert part.exists()
        page.write(b"whole")
        return Job("good-1", "bob", "x", (), "succeeded", 0, 1.0, 80.0)

    monkeypatch.setattr(operation, "run", another_run)
    assert invoke("run", "good", "--as", "bob", "-o", "out").exit_code == 0
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {"good.html": "whole"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["good"], "as which user"),
        (["none", "--as", "bob"], "no example 'none'"),
        (["big", "--as", "bob"], "big needs prophet"),
        (["-p", "rows=1", "--as", "bob"], "of which example"),
        (["good", "-p", "columns=1", "--as", "bob"], "no such parameter"),
        (["good", "-p", "rows=0", "--as", "bob"], "good takes rows >= 1"),
        (["good", "-o", "cluster.yaml/x", "--as", "bob"], "cannot be made"),
    ],
)
def test_what_is_refused_changes_nothing(asked, words, message):
    with pytest.raises(UsageError, match=message):
        invoke("run", *words)
    assert asked == []


def test_packages_of_the_spec_let_one_run(asked, tmp_path):
    (tmp_path / "cluster.yaml").write_text("name: a\nhub: {users: [alice]}\npackages: [prophet>=1]\n")
    assert invoke("run", "big").exit_code == 0
