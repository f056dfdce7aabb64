"""Names for the shell: from the spec, the cluster's folder, and what was kept; never an error."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from provision.base import paths
from provision.cli.completion import names
from provision.cli.completion.names import complete, documents, jobs, nodes, note, noted, users, what


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def completed(function, incomplete, file=None):
    return complete(function)(SimpleNamespace(params={"file": file}), None, incomplete)


def test_without_anything_they_are_the_default_clusters():
    assert nodes(None) == [
        "master",
        "worker-1",
        "worker-2",
        "analytics-master",
        "analytics-worker-1",
        "analytics-worker-2",
    ]
    assert users(None) == ["alice"]
    assert jobs(None) == []


def test_they_follow_the_spec(folder):
    (folder / "cluster.yaml").write_text("name: b\nworkers: {count: 1}\nhub: {users: [carol, {name: dave}]}\n")
    assert nodes(None) == ["master", "worker-1", "b-master", "b-worker-1"]
    assert users(None) == ["carol", "dave"]
    (folder / "apart.yaml").write_text("name: d\nworkers: {count: 1}\nhub: {on: node}\n")
    assert nodes(folder / "apart.yaml")[:3] == ["master", "hub", "worker-1"]
    (folder / "other.yaml").write_text("name: c\nworkers:\n")
    assert nodes(folder / "other.yaml")[:1] == ["master"]


def named(word):
    """Return the nodes that are offered behind `--file WORD`."""
    return completed(nodes, "worker", word and Path(word))


def test_a_spec_is_found_as_the_shell_would_find_it(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("TEAMS", str(folder / "c"))
    (folder / "c").mkdir()
    (folder / "c/team.yaml").write_text("name: b\nworkers: {count: 1}\n")
    for word in ("~/c/team.yaml", "$HOME/c/team.yaml", "${TEAMS}/team.yaml", "c/team.yaml"):
        assert named(word) == ["worker-1"], word


@pytest.mark.parametrize("word", ["missing.yaml", "~/missing.yaml", "$NOBODY/c.yaml", "."])
def test_a_spec_that_is_not_there_has_no_names(folder, word):
    (folder / "cluster.yaml").write_text("name: b\n")
    assert named(None) == ["worker-1", "worker-2"]
    for function in (nodes, users, jobs, what, documents):
        assert completed(function, "", Path(word)) == []


def test_nodes_are_those_of_the_clusters_folders():
    for folder, hosts in (
        ("analytics", ["analytics-master"]),
        ("analytics@x", ["analytics-worker-7"]),
        ("analytics2", ["n"]),
    ):
        path = paths.cluster_dir(folder) / "ssh_config"
        path.parent.mkdir(parents=True)
        path.write_text("".join(f"Host {host}\n  HostName 192.0.2.1\n\n" for host in [*hosts, "*"]))
    assert nodes(None) == ["master", "worker-7", "analytics-master", "analytics-worker-7"]


def test_jobs_are_those_that_were_listed_last():
    assert noted("jobs", "analytics") is None
    note("jobs", "analytics", ["count-1", "train-2"])
    assert completed(jobs, "t") == ["train-2"]
    assert {"train-2", "worker-1", "spark-master", "notebook-alice"} <= set(what(None))


def test_documents_are_worked_out_once(monkeypatch):
    first = documents(None)
    assert "master/spark-defaults.conf" in first
    monkeypatch.setattr("provision.cli.spec.list_documents", pytest.fail)
    assert documents(None) == first
    assert completed(documents, "worker/h") == ["worker/hosts"]


def test_documents_are_those_of_this_spec(folder):
    first = documents(None)
    apart = folder / "apart.yaml"
    apart.write_text("name: analytics\nhub: {on: node}\n")
    assert "hub/jupyterhub_config.py" in set(documents(apart)) - set(first)
    assert documents(None) == first
    apart.write_text("name: analytics\n")
    assert documents(apart) == first


@pytest.mark.parametrize("text", ["name: [", "- a\n", "workers: 7\n", "hub: {users: 3}\n", "\x00"])
def test_a_broken_spec_has_no_names_and_no_error(folder, text):
    (folder / "cluster.yaml").write_text(text)
    for function in (nodes, users, jobs, what):
        assert isinstance(completed(function, ""), list)


def test_what_cannot_be_kept_is_not_kept(folder, monkeypatch):
    (folder / "cache").write_text("a file")
    note("jobs", "analytics", ["x-1"])
    assert noted("jobs", "analytics") is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "other"))
    note("jobs", "analytics", ["x-1"])
    names._noted("jobs", "analytics").write_text('{"half')
    assert jobs(None) == []
