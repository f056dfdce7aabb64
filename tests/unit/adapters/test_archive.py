"""A backup's file: whole or not there, private, and refused when anything in it has changed."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest

from provision.adapters import archive
from provision.base.errors import UsageError
from provision.model.localcloud.backup import Manifest

CONTENT = {"passwords.json": b"{}", "databases.sql": b"SELECT 1;\n" * 100000, "keystone/fernet-keys/0": b"k"}


def write(path, content=CONTENT):
    with archive.writing(path) as writer:
        for name, data in content.items():
            if name == "databases.sql":
                writer.add(name, [data[:7], data[7:]])
            else:
                writer.add_file(name, io.BytesIO(data), len(data))
        writer.finish(Manifest("now", "0.2.0", {"nova": "n1"}, dict(writer.files)))


@pytest.fixture(name="path")
def _path(tmp_path):
    return tmp_path / "cloud.tar.gz"


def test_what_was_written_is_read_back(path):
    write(path)
    manifest = archive.verified(path)
    assert manifest.inputs == {"nova": "n1"}
    assert {name: entry.size for name, entry in manifest.files.items()} == {
        name: len(data) for name, data in CONTENT.items()
    }
    read = {name: b"".join(archive.chunks(content)) for name, content in archive.members(path)}
    assert read.pop("manifest.json")
    assert read == CONTENT


def test_it_is_its_owners_alone_and_an_ordinary_tar(path):
    write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path, "r:gz") as tar:
        assert tar.getnames() == [*CONTENT, "manifest.json"]
        assert {info.mode for info in tar} == {0o600}


def test_a_file_that_is_there_is_not_overwritten(path):
    path.write_text("precious")
    with pytest.raises(UsageError, match="exists"):
        write(path)
    assert path.read_text() == "precious"


def test_a_backup_that_fails_leaves_nothing(path):
    def broken():
        yield b"half"
        raise KeyError("the database died")

    with pytest.raises(KeyError), archive.writing(path) as writer:
        writer.add("databases.sql", broken())
    assert list(path.parent.iterdir()) == []


def test_a_folder_that_is_not_there_is_bad_usage(tmp_path):
    with pytest.raises(UsageError, match="cannot be written: No such file"):
        write(tmp_path / "no" / "cloud.tar.gz")


@pytest.mark.parametrize("damage", ["cut", "flipped", "nothing", "text", "folder", "absent", "renamed"])
def test_a_damaged_file_is_refused(path, tmp_path, damage):
    write(path)
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":
        plain = bytearray(gzip.decompress(whole))
        plain[plain.index(b"SELECT 1;") + 4] ^= 1
        path.write_bytes(gzip.compress(bytes(plain), 1))
    elif damage == "nothing":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("not a backup")
    elif damage == "folder":
        path = tmp_path
    elif damage == "absent":
        path = tmp_path / "other"
    else:
        with tarfile.open(path, "w:gz") as tar:
            tar.add(__file__, "manifest.json")
    with pytest.raises(UsageError, match="is no backup that can be restored: ") as caught:
        archive.verified(path)
    assert caught.value.hint


def test_links_are_no_part_of_a_backup(path):
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("passwords.json")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/shadow"
        tar.addfile(info)
    with pytest.raises(UsageError, match="no plain file"):
        archive.verified(path)


def test_what_comes_after_the_list_is_refused_too(path):
    write(path, {**CONTENT})
    with tarfile.open(path, "r:gz") as tar:
        kept = [(info, tar.extractfile(info).read()) for info in tar]
    with tarfile.open(path, "w:gz") as tar:
        for info, data in kept:
            tar.addfile(info, io.BytesIO(data))
        tar.addfile(kept[0][0].replace(name="keystone/fernet-keys/9"), io.BytesIO(kept[0][1]))
    with pytest.raises(UsageError, match="fernet-keys/9 in it was not written"):
        archive.verified(path)
