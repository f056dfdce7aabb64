"""The commands for people's data: their arguments, what they print, and what they refuse."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from provision.adapters.cluster_dir import ClusterDir
from provision.adapters.remote import Remote
from provision.base.errors import ProvisionError, UsageError
from provision.cli import data as module
from provision.cli.data import backup, get, put, restore, sync
from provision.model.data.snapshots import Snapshot
from provision.operations.data import backup as operation
from provision.operations.data.backup import Backup

REPORT = {
    "users": ["alice"],
    "skipped": ["carol"],
    "files": 3,
    "kept": [f"/home/alice/{n}" for n in range(12)],
    "left_out": ["/shared/disk"],
}
SNAPSHOTS = [Snapshot("1234abcd", "2026-01-02T03:04:05.6Z", "analytics", (), "/analytics.tar")]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The home of alice on a master that is this machine; the tests run in another folder."""
    for name in ("home", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(module, "live_hub", lambda spec, file: Remote("a-master", ("sh", "-c"), sudo=False))
    return tmp_path / "home"


@pytest.fixture
def restic(home, monkeypatch):
    """A repository that needs no restic; returns what was asked of the operation."""
    asked = []

    def restored(*_, confirm, **options):
        confirm(SNAPSHOTS[0])
        asked.append(options)
        return REPORT

    monkeypatch.setattr(
        "provision.operations.cluster.nodes.find_live_cluster",
        lambda *_, **__: SimpleNamespace(cluster_dir=ClusterDir("analytics")),
    )
    monkeypatch.setattr("provision.operations.data.streams.archives_of", lambda cluster: None)
    monkeypatch.setattr(operation, "open_repository", lambda *_, **__: None)
    monkeypatch.setattr(operation, "list_backups", lambda _: SNAPSHOTS)
    monkeypatch.setattr(operation, "backup", lambda *_: Backup("1234abcd", 2_000_000, 1500, ("alice",)))
    monkeypatch.setattr(operation, "restore", restored)
    return asked


def invoke(command, *arguments, **options):
    return CliRunner().invoke(command, [str(word) for word in arguments], catch_exceptions=False, **options)


def test_put_get_and_back(home):
    (home.parent / "here" / "x").write_text("12")
    assert invoke(put, "x", "alice:new").stdout == "1 file, 2 bytes.\n"
    assert (home / "new").read_text() == "12"
    assert invoke(get, "alice:new", ".").exit_code == 0
    assert (home.parent / "here" / "new").read_text() == "12"


def test_sync_both_ways(home):
    (home.parent / "here" / "d").mkdir()
    (home.parent / "here" / "d" / "x").write_text("1")
    assert invoke(sync, "--dry-run", "d", "alice:d").stdout == "+ x\n"
    assert not (home / "d").exists()
    assert invoke(sync, "d", "alice:d").stdout == "1 file, 1 bytes.\n"
    assert invoke(sync, "--dry-run", "d", ":d").stdout == "Nothing to do.\n"
    (home / "d" / "y").touch()
    assert invoke(sync, "alice:d", "d").stdout == "1 file, 0 bytes.\n"
    (home / "d" / "y").unlink()
    with pytest.raises(UsageError, match="this deletes 1 of the files"):
        invoke(sync, "--delete", "alice:d", "d")
    assert invoke(sync, "--delete", "--yes", "alice:d", "d").stdout == "0 files, 0 bytes, 1 deleted.\n"


def test_names_that_are_no_text_are_shown(home, restic, monkeypatch):
    """Names of files are bytes: a system of another country, or a program, has written these."""
    name = os.fsdecode(b"caf\xe9.csv")
    (home.parent / "here" / "d").mkdir()
    (home.parent / "here" / "d" / name).touch()
    assert invoke(sync, "--dry-run", "d", "alice:d").stdout == "+ caf\ufffd.csv\n"
    (home / "d").mkdir()
    monkeypatch.setattr(module, "require_consent", lambda *_, **__: None)
    asked = invoke(sync, "--delete", "alice:d", "d", input="n\n")
    assert "- caf\ufffd.csv\n" in asked.stdout
    monkeypatch.setitem(REPORT, "kept", [name])
    monkeypatch.setitem(REPORT, "left_out", [name])
    said = invoke(restore, "--yes", "/repository").stdout
    assert said.count("caf\ufffd.csv") == 2
    assert json.loads(invoke(restore, "--yes", "--json", "/repository").stdout)["kept"] == [name]


@pytest.mark.parametrize("words", [("a", "b"), ("alice:a", "alice:b")])
def test_sync_has_one_side_on_the_cluster(home, words):
    with pytest.raises(UsageError, match="is on the cluster"):
        invoke(sync, *words)


def test_backup_says_what_it_made(restic):
    said = invoke(backup, "/repository")
    assert said.stdout == "Backup 1234abcd: 2.0 MB of alice.\nThe repository grew by 1.5 kB.\n"
    assert json.loads(invoke(backup, "--json", "/repository").stdout)["snapshot"] == "1234abcd"
    assert (
        invoke(backup, "--list", "/repository").stdout == "1234abcd  2026-01-02 03:04:05+00:00  analytics  everything\n"
    )
    assert json.loads(invoke(backup, "--list", "--json", "/repository").stdout)[0]["id"] == "1234abcd"


def test_restore_asks_first_and_reports(restic):
    with pytest.raises(UsageError, match="ends every notebook and job on cluster analytics"):
        invoke(restore, "/repository")
    assert restic == []
    said = invoke(restore, "--yes", "--user", "alice", "--replace", "/repository").stdout
    assert restic == [{"snapshot": "", "users": ("alice",), "replace": True}]
    assert "Restored 3 files; users: alice." in said
    assert "Left out: carol." in said
    assert "12 files stay as they are" in said
    assert "… and 2 more" in said
    assert json.loads(invoke(restore, "--yes", "--json", "/repository").stdout) == REPORT


@pytest.fixture
def away(home, monkeypatch):
    """The cloud does not answer."""

    def refuse(*_):
        raise ProvisionError("the cloud is away")

    monkeypatch.setattr(module, "live_hub", refuse)
    monkeypatch.setattr("provision.operations.cluster.nodes.find_live_cluster", refuse)
    monkeypatch.setattr("provision.adapters.restic.require", lambda: None)


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        (put, ("nofile", "alice:"), "cannot be read: nofile: No such file"),
        (sync, ("nodir", "alice:a"), "there is no folder nodir"),
        (sync, ("alice:a", "file"), "file is no folder"),
        (backup, ("--password-file", "nofile", "/repository"), "--password-file: there is no file nofile"),
        (restore, ("--password-file", "nofile", "/repository"), "--password-file: there is no file nofile"),
    ],
)
def test_what_is_wrong_here_is_said_before_the_cloud_is_asked(away, tmp_path, command, words, said):
    (tmp_path / "here/file").touch()
    with pytest.raises(UsageError, match=said):
        invoke(command, *words)
