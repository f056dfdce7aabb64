"""`put`, `get` and `sync` between two folders of this machine."""

from __future__ import annotations

import os

import pytest

from provision.adapters.remote import Remote
from provision.base.errors import ProvisionError, UsageError
from provision.base.progress import Silent
from provision.model.data.places import UserPath
from provision.operations.data.transfer import claim, compare, get, put, sync

REMOTE = Remote("a-master", ("sh", "-c"), sudo=False)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A local folder; `home` beside it is the user's home on the master."""
    for name in ("home", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "here" / "d" / "e f").mkdir(parents=True)
    (tmp_path / "here" / "d" / "-x").write_text("1")
    (tmp_path / "here" / "d" / "e f" / "ü").write_text("22")
    return tmp_path / "here"


def at(path):
    return UserPath("alice", path)


def test_put_and_get(here):
    home = here.parent / "home"
    done = put(REMOTE, [here / "d", here / "d" / "-x"], at("./"), Silent())
    assert (done.files, done.bytes) == (3, 4)
    assert (home / "d" / "e f" / "ü").read_text() == "22"
    assert (home / "-x").read_text() == "1"
    put(REMOTE, [here / "d" / "-x"], at("new name"), Silent())
    assert (home / "new name").read_text() == "1"
    done = get(REMOTE, [at("d"), at("new name")], here / "back", Silent())
    assert done.files == 3
    assert (here / "back" / "d" / "e f" / "ü").read_text() == "22"
    assert (here / "back" / "new name").read_text() == "1"
    get(REMOTE, [at("./")], here, Silent())
    assert (here / "alice" / "new name").exists(), "a whole home has its user's name"


def test_a_source_that_is_missing_changes_nothing(here):
    with pytest.raises(UsageError, match="No such file"):
        put(REMOTE, [here / "d", here / "no"], at("./"), Silent())
    assert list((here.parent / "home").iterdir()) == []
    with pytest.raises(UsageError, match="a-master: no: No such file"):
        get(REMOTE, [at("no")], here, Silent())
    with pytest.raises(UsageError, match="a-master: there is no folder no"):
        put(REMOTE, [here / "d"], at("no/such"), Silent())
    (here.parent / "home" / "x").touch()
    with pytest.raises(UsageError, match="there is no folder"):
        get(REMOTE, [at("x")], here / "no" / "such", Silent())


def test_two_sources_of_one_name_are_refused(here):
    """The second would take the place of the first."""
    (here / "e" / "d").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"here/d and .*here/e/d would both be called d"):
        put(REMOTE, [here / "d", here / "e" / "d"], at("./"), Silent())
    assert list((here.parent / "home").iterdir()) == []
    for sources in ([at("a/x.csv"), at("b/x.csv")], [at("x.csv"), UserPath("bob", "/home/bob/x.csv")]):
        with pytest.raises(UsageError, match=r"alice:.*x\.csv and .*:.*x\.csv would both be called x\.csv"):
            get(REMOTE, sources, here / "back", Silent())
    assert not (here / "back").exists()


def test_what_cannot_be_written_is_named_and_the_rest_arrives(here):
    home = here.parent / "home"
    (home / "d" / "-x").mkdir(parents=True)
    with pytest.raises(ProvisionError, match="1 of the files could not be written on a-master") as caught:
        put(REMOTE, [here / "d"], at("./"), Silent())
    assert caught.value.detail == "d/-x: it is a folder there"
    assert (home / "d" / "e f" / "ü").exists()


def test_a_node_that_does_not_answer(here):
    gone = Remote("a-master", ("sh", "-c", "echo 'No route' >&2; exit 255"), sudo=False)
    with pytest.raises(ProvisionError, match="a-master cannot be reached by SSH"):
        put(gone, [here / "d"], at("./"), Silent())
    with pytest.raises(ProvisionError, match="a-master cannot be reached by SSH"):
        get(gone, [at("d")], here, Silent())


@pytest.mark.parametrize("upload", [True, False])
def test_sync_makes_folders_equal(here, upload):
    local, there = here / "d", here.parent / "home" / "s"
    if not upload:
        (here / "d").rename(there)
    source, target = (local, there) if upload else (there, local)

    def find(*, checksum=False):
        return compare(REMOTE, local, at("s/"), upload=upload, checksum=checksum)

    def run(*, delete=False):
        return sync(REMOTE, local, at("s/"), find(), Silent(), upload=upload, delete=delete)

    assert run().files == 2
    assert not find()
    assert run().files == 0
    (source / "-x").write_text("longer")
    (target / "own").mkdir()
    (target / "own" / "y").touch()
    assert (run().files, (target / "own" / "y").exists()) == (1, True)
    assert run(delete=True).deleted == 2
    assert not find(checksum=True)
    (target / "-x").unlink()
    (target / "-x").mkdir()
    with pytest.raises(UsageError, match="a folder on one side") as caught:
        run()
    assert "--delete" in caught.value.hint
    run(delete=True)
    assert not find(checksum=True)


def test_contents_alone_are_found_by_checksum(here):
    put(REMOTE, [here / "d"], at("s"), Silent())
    other = here.parent / "home" / "s" / "-x"
    before = other.stat()
    other.write_text("2")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not compare(REMOTE, here / "d", at("s"), upload=True, checksum=False)
    assert compare(REMOTE, here / "d", at("s"), upload=True, checksum=True).transfer == ("-x",)


def test_a_source_of_sync_has_to_be_there(here):
    with pytest.raises(UsageError, match="there is no folder"):
        compare(REMOTE, here / "no", at("s"), upload=True, checksum=False)
    with pytest.raises(UsageError, match="a-master: no: No such file"):
        compare(REMOTE, here / "d", at("no"), upload=False, checksum=False)
    with pytest.raises(UsageError, match="is no folder"):
        compare(REMOTE, here / "d" / "-x", at("./"), upload=False, checksum=False)


def test_a_folder_is_ones_own_or_refused(here):
    mine, other = here / "mine", here / "other"
    for _ in range(2):
        claim(REMOTE, at(str(mine)))
    assert mine.stat().st_mode & 0o777 == 0o755
    other.symlink_to(mine)
    with pytest.raises(UsageError, match="belongs to somebody else"):
        claim(REMOTE, at(str(other)))
    with pytest.raises(UsageError, match="belongs to somebody else"):
        claim(REMOTE, at("/etc/passwd"))
