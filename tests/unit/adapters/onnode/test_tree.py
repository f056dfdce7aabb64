"""Files and folders through a stream, between two folders of this machine."""

from __future__ import annotations

import io
import os
import stat
import tarfile

import pytest

from provision.adapters.onnode import tree


def through(paths, folder, name="", *, deep=True):
    """Send paths and receive them in a folder."""
    items, skipped = tree.collect(paths, deep=deep)
    stream = io.BytesIO()
    sent = []
    tree.send(items, stream, sent.append)
    assert sum(sent) == tree.total(items)
    stream.seek(0)
    receiver = tree.Receiver(str(folder), name)
    receiver.read(stream)
    receiver.close()
    return receiver.arrived, skipped


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    (folder / "a b").mkdir(parents=True)
    (folder / "-x").write_text("1")
    (folder / "a b" / "ü").write_text("22")
    (folder / "a b" / "link").symlink_to("../-x")
    (folder / os.fsdecode(b"bad\xff")).write_text("333")
    os.mkfifo(folder / "pipe")
    (folder / "-x").chmod(0o640)
    os.utime(folder / "-x", ns=(1, 1_577_836_800_123_456_789))
    (tmp_path / "target").mkdir()
    return folder


def test_names_modes_times_and_links(source, tmp_path):
    arrived, skipped = through([(str(source), "new")], tmp_path / "target")
    there = tmp_path / "target" / "new"
    assert (arrived.files, arrived.bytes, arrived.failed) == (4, 6, [])
    assert skipped == [str(source / "pipe")]
    assert tree.listing(str(there), checksum=True) == tree.listing(str(source), checksum=True)
    assert stat.S_IMODE((there / "-x").stat().st_mode) == 0o640
    assert (there / "-x").stat().st_mtime_ns == 1_577_836_800_123_456_789
    assert (there / "a b" / "link").readlink().as_posix() == "../-x"


def test_a_link_that_is_named_is_followed(source, tmp_path):
    (tmp_path / "l").symlink_to(source / "-x")
    through([(str(tmp_path / "l"), "l")], tmp_path / "target")
    assert not (tmp_path / "target" / "l").is_symlink()


def test_only_what_is_named_without_depth(source, tmp_path):
    arrived, _ = through([(str(source / "a b"), "a b"), (str(source / "-x"), "-x")], tmp_path / "target", deep=False)
    assert arrived.files == 1
    assert sorted(path.name for path in (tmp_path / "target").iterdir()) == ["-x", "a b"]


def test_everything_that_is_missing_is_named(tmp_path):
    with pytest.raises(tree.Refused, match=r"one: No such file.*; .*two: No such file"):
        tree.collect([(str(tmp_path / "one"), "one"), (str(tmp_path / "two"), "two")])


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "", "a//b", "."])
def test_nothing_is_written_outside(tmp_path, name):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        info = tarfile.TarInfo("x")
        info.size = 1
        info.name = name
        tar.addfile(info, io.BytesIO(b"x"))
    stream.seek(0)
    (tmp_path / "in").mkdir()
    receiver = tree.Receiver(str(tmp_path / "in"))
    receiver.read(stream)
    assert list((tmp_path / "in").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_nothing_is_written_through_a_link(source, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "target" / "new").symlink_to(tmp_path / "elsewhere")
    arrived, _ = through([(str(source), "new")], tmp_path / "target")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert arrived.files == 0
    assert "not a folder" in arrived.failed[0]


def test_half_a_stream_leaves_no_half_file(tmp_path):
    (tmp_path / "big").write_bytes(b"x" * 5_000_000)
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "big").write_text("old")
    items, _ = tree.collect([(str(tmp_path / "big"), "big")])
    stream = io.BytesIO()
    tree.send(items, stream, lambda _: None)
    receiver = tree.Receiver(str(tmp_path / "target"))
    with pytest.raises(tarfile.TarError):
        receiver.read(io.BytesIO(stream.getvalue()[:3_000_000]))
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["big"]
    assert (tmp_path / "target" / "big").read_text() == "old"


def test_a_file_that_becomes_shorter_is_an_error(tmp_path):
    (tmp_path / "x").write_text("long")
    items, _ = tree.collect([(str(tmp_path / "x"), "x")])
    (tmp_path / "x").write_text("")
    with pytest.raises(OSError, match="end of data"):
        tree.send(items, io.BytesIO(), lambda _: None)


def test_a_folder_is_not_replaced_by_a_file(source, tmp_path):
    (tmp_path / "target" / "x").mkdir()
    arrived, _ = through([(str(source / "-x"), "x")], tmp_path / "target")
    assert arrived.failed == ["x: it is a folder there"]


@pytest.mark.parametrize(
    ("target", "kind", "expected"),
    [
        ("there", {"several": False, "contents": False}, ("there", "")),
        ("new", {"several": False, "contents": False}, (".", "new")),
        ("new/", {"several": False, "contents": False}, ("new/", "")),
        ("new", {"several": True, "contents": False}, ("new", "")),
        ("a/b/c", {"several": False, "contents": True}, ("a/b/c", "")),
        ("there/new", {"several": False, "contents": False}, ("there", "new")),
    ],
)
def test_where_it_goes(tmp_path, monkeypatch, target, kind, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    assert tree.destination(target, **kind) == expected
    assert (tmp_path / expected[0]).is_dir()


@pytest.mark.parametrize(("target", "message"), [("no/such", "there is no folder no"), ("file/", "File exists")])
def test_where_it_cannot_go(tmp_path, monkeypatch, target, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(tree.Refused, match=message):
        tree.destination(target, several=False, contents=False)


def test_deleting_goes_from_the_inside(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").touch()
    receiver = tree.Receiver(str(tmp_path))
    receiver.delete(["a", "a/b", "a/b/c", "gone"])
    assert receiver.arrived.deleted == 3
    assert len(receiver.arrived.failed) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_list_of_what_is_not_there_is_empty_and_a_file_has_none(tmp_path):
    assert tree.listing(str(tmp_path / "no"), checksum=False) == {}
    (tmp_path / "f").touch()
    with pytest.raises(tree.Refused, match="is no folder"):
        tree.listing(str(tmp_path / "f"), checksum=False)
