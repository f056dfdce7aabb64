"""Files that have come in go to their places: by whom they are kept, replaced, and owned."""

from __future__ import annotations

import os
import stat
import struct
from types import SimpleNamespace

import pytest

from provision.adapters.onnode import merge as module
from provision.adapters.onnode.merge import Ids, Merge, Report, translate


def test_access_lists_get_this_masters_ids_and_lose_nobodys():
    entry = struct.Struct("<HHI")
    nobody = 0xFFFFFFFF

    def acl(*named):
        entries = [(1, 7, nobody), *((2, 5, number) for number in named), (4, 5, nobody), (8, 4, 50), (16, 7, nobody)]
        return struct.pack("<I", 2) + b"".join(entry.pack(*each) for each in entries)

    ids = Ids({1: 12, 2: 11}, {50: 50})
    assert ids.acl(acl(1, 2, 3)) == acl(11, 12)


def test_ids_are_matched_by_name():
    old = {"users": {"alice": 1, "bob": 2}, "groups": {"g": 5}}
    new = {"users": {"alice": 2, "carol": 1}, "groups": {"g": 6, "h": 5}}
    assert translate(old, new) == Ids({1: 2}, {5: 6})


def test_numbers_of_the_removed_stay_in_the_same_cluster_only():
    new = {"users": {"alice": 2001, "eve": 2003}, "groups": {"alice": 2001}}
    ids = translate({"users": {"alice": 2001}, "groups": {}}, new, keep=True)
    assert [ids.user(number) for number in (2001, 2002, 2003, 998, 100_000)] == [2001, 2002, None, None, None]
    assert [ids.group(number) for number in (2001, 2003, 27)] == [None, 2003, None]
    assert translate({"users": {}, "groups": {}}, new).user(2002) is None


@pytest.fixture
def merged(tmp_path):
    """Merge one folder into another, everything with the ids of whoever runs the test."""
    own = Ids({os.getuid(): os.getuid()}, {os.getgid(): os.getgid()})
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()

    def merge(*, replace=False):
        report = Report()
        Merge(own, report, replace=replace).folder(tmp_path / "in", tmp_path / "out")
        return report

    return tmp_path / "in", tmp_path / "out", merge


def test_what_is_newer_stays_unless_it_is_to_be_replaced(merged):
    source, target, merge = merged
    for replace, expected in ((False, "there"), (True, "came")):
        (source / "x").write_text("came")
        (target / "x").write_text("there")
        os.utime(source / "x", (100, 100))
        report = merge(replace=replace)
        assert (target / "x").read_text() == expected
        assert report.kept == ([] if replace else [f"{target}/x"])


def test_what_is_older_is_replaced_and_nothing_is_removed(merged):
    source, target, merge = merged
    (source / "d").mkdir(mode=0o750)
    (source / "d" / "x").write_text("came")
    os.utime(source / "d", (200, 200))
    (target / "d").mkdir()
    (target / "d" / "x").write_text("there")
    (target / "d" / "own").write_text("stays")
    os.utime(target / "d" / "x", (1, 1))
    assert merge().kept == []
    assert (target / "d" / "x").read_text() == "came"
    assert (target / "d" / "own").read_text() == "stays"
    assert ((target / "d").stat().st_mode & 0o777, (target / "d").stat().st_mtime) == (0o750, 200)


def test_a_link_in_the_target_leads_nowhere_else(merged, tmp_path):
    source, target, merge = merged
    (tmp_path / "elsewhere").mkdir()
    (source / "d").mkdir()
    (source / "d" / "x").write_text("came")
    (target / "d").symlink_to(tmp_path / "elsewhere")
    merge(replace=True)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (target / "d" / "x").read_text() == "came"
    assert not (target / "d").is_symlink()


def test_a_folder_that_is_there_is_not_removed_for_a_file(merged):
    source, target, merge = merged
    (source / "x").write_text("came")
    (target / "x").mkdir()
    assert merge(replace=True).kept == [f"{target}/x"]


@pytest.fixture
def owners(monkeypatch):
    """Who would get a file or a folder; nothing is really given away, as only root may do that."""
    given = []
    monkeypatch.setattr(os, "chown", lambda _, *owner, **__: given.append(owner))
    monkeypatch.setattr(os, "fchown", lambda _, *owner: given.append(owner))
    return given


@pytest.mark.parametrize(
    ("ids", "owner", "rights"),
    [
        (Ids({}, {}), (0, 0), 0o755),
        (Ids({}, {2006: 60}), (0, 60), 0o2755),
        (Ids({2005: 50}, {}), (50, 0), 0o4755),
        (Ids({2005: 50}, {2006: 60}), (50, 60), 0o6755),
    ],
)
def test_nobodys_programs_do_not_run_as_root(tmp_path, owners, ids, owner, rights):
    """A removed user's setuid file would be everybody's way to root."""
    (tmp_path / "x").touch()
    (tmp_path / "x").chmod(0o6755)
    seen = SimpleNamespace(st_uid=2005, st_gid=2006, st_mode=stat.S_IFREG | 0o6755, st_nlink=1)
    Merge(ids, Report(), replace=False)._own(tmp_path / "x", seen)
    assert owners == [owner]
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == rights


@pytest.mark.parametrize(("groups", "rights"), [({}, 0o775), ({2006: 60}, 0o2775)])
def test_a_folder_hands_on_its_group_unless_that_is_roots_now(tmp_path, owners, groups, rights):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    seen = SimpleNamespace(st_uid=2005, st_gid=2006, st_mode=stat.S_IFDIR | 0o2775, st_atime_ns=1, st_mtime_ns=1)
    place = os.open(tmp_path / "out", os.O_RDONLY)
    Merge(Ids({2005: 50}, groups), Report(), replace=False)._like(tmp_path / "in", seen, place)
    os.close(place)
    assert owners == [(50, 60 if groups else 0)]
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == rights


def test_devices_are_left_out_and_named(merged, monkeypatch):
    """Their numbers may be those of a disk here."""
    source, target, merge = merged
    (source / "disk").touch()
    (source / "pipe").touch()
    monkeypatch.setattr(module, "_is_device", lambda seen: seen.st_ino == disk)
    disk = (source / "disk").stat().st_ino
    assert merge().left_out == [f"{target}/disk"]
    assert [path.name for path in target.iterdir()] == ["pipe"]


@pytest.mark.parametrize(
    ("mode", "number", "device"),
    [(stat.S_IFBLK, 0x800, True), (stat.S_IFCHR, 0x101, True), (stat.S_IFCHR, 0, False), (stat.S_IFIFO, 0, False)],
)
def test_what_is_a_device(mode, number, device):
    """Containers mark removed files with the character device 0:0, which anybody may make."""
    assert module._is_device(SimpleNamespace(st_mode=mode, st_rdev=number)) is device
