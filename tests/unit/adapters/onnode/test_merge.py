"""Files that have come in go to their places: by whom they are kept, replaced, and owned."""

from __future__ import annotations

import os
import struct

import pytest

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
