"""Backups with the real restic, of masters that are folders of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.adapters.host.process import Piped
from provision.base.errors import ProvisionError, UsageError
from provision.base.progress import Silent
from provision.operations.data import backup as module
from provision.operations.data.backup import backup, list_backups, open_repository, password_path, restore


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in ("RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return open_repository(str(tmp_path / "repository"), "a", None, Silent(), create=True)


def test_there_and_back(repository, make_master, archives_of_folder):
    old, new = make_master("old"), make_master("new")
    (old / "home/alice/x").write_text("alice's")
    made = backup(archives_of_folder(old), "a", repository, Silent())
    assert made.users == ("alice", "bob")
    assert [(one.id, one.cluster) for one in list_backups(repository)] == [(made.snapshot, "a")]
    asked = []
    report = restore(archives_of_folder(new), "a", repository, Silent(), confirm=asked.append)
    assert report["users"] == ["alice", "bob"]
    assert (new / "home/alice/x").read_text() == "alice's"
    assert asked[0].id == made.snapshot


def test_one_user(repository, make_master, archives_of_folder):
    old, new = make_master("old"), make_master("new")
    (old / "home/alice/x").write_text("alice's")
    (old / "home/bob/x").write_text("bob's")
    backup(archives_of_folder(old), "a", repository, Silent(), ["alice"])
    with pytest.raises(UsageError, match="no backup of everything"):
        restore(archives_of_folder(new), "a", repository, Silent())
    snapshot = list_backups(repository)[0].id
    with pytest.raises(UsageError, match="has no home of bob"):
        restore(archives_of_folder(new), "a", repository, Silent(), snapshot=snapshot, users=["bob"])
    assert list(new.rglob(".provision*")) == []
    assert restore(archives_of_folder(new), "a", repository, Silent(), snapshot=snapshot)["users"] == ["alice"]
    assert not (new / "home/bob/x").exists()


def test_users_who_are_not_on_the_cluster(repository, make_master, archives_of_folder):
    archives = archives_of_folder(make_master())
    with pytest.raises(UsageError, match="no user zed"):
        backup(archives, "a", repository, Silent(), ["zed"])
    backup(archives, "a", repository, Silent())
    with pytest.raises(UsageError, match="no user zed") as caught:
        restore(archives, "a", repository, Silent(), users=["zed"])
    assert "hub.users" in caught.value.hint


def test_half_an_archive_makes_no_snapshot(repository, make_master, archives_of_folder, monkeypatch):
    archives = archives_of_folder(make_master())

    def broken(*_, **__):
        # It ends as a node does whose connection is lost, after a part that looks well.
        return Piped(["sh", "-c", "head -c 3000000 /dev/zero; exit 255"])

    monkeypatch.setattr(archives, "start_archive", broken)
    with pytest.raises(ProvisionError, match="cannot be reached by SSH"):
        backup(archives, "a", repository, Silent())
    assert list_backups(repository) == []


def test_restic_that_fails_is_heard(repository, make_master, archives_of_folder, tmp_path):
    archives = archives_of_folder(make_master())
    repository.location = str(tmp_path / "elsewhere")
    with pytest.raises(ProvisionError, match="there is no repository at"):
        backup(archives, "a", repository, Silent())


def test_the_password_is_made_once_and_outlives_the_cluster(repository, tmp_path):
    file = password_path("a")
    text = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert "clusters" not in file.parts
    again = open_repository(repository.location, "a", None, Silent(), create=True)
    assert again.password_file == file
    assert file.read_text() == text


def test_a_password_that_is_not_known_here(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    for create in (False, True):
        with pytest.raises(UsageError, match="is not known on this machine"):
            open_repository(repository.location, "a", None, Silent(), create=create)
    assert not list(Path(tmp_path / "another machine").rglob("a.*"))
    (tmp_path / "wrong").write_text("wrong")
    with pytest.raises(UsageError, match="the password is wrong"):
        open_repository(repository.location, "a", tmp_path / "wrong", Silent())
    with pytest.raises(UsageError, match="there is no file"):
        open_repository(repository.location, "a", tmp_path / "gone", Silent())
    monkeypatch.setenv("RESTIC_PASSWORD", module.password_path("a").name)
    with pytest.raises(UsageError, match="the password is wrong"):
        open_repository(repository.location, "a", None, Silent())


def test_a_repository_is_made_by_a_backup_only(tmp_path, monkeypatch):
    monkeypatch.setenv("RESTIC_PASSWORD", "x")
    with pytest.raises(UsageError, match="there is no repository"):
        open_repository(str(tmp_path / "none"), "a", None, Silent())
    open_repository(str(tmp_path / "none"), "a", None, Silent(), create=True)
    assert (tmp_path / "none" / "config").exists()
