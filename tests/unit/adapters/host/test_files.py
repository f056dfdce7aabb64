"""Private files and locks, in a folder of the test's own."""

from __future__ import annotations

import shutil
import threading

import pytest

from provision.adapters.host import files
from provision.base.errors import ProvisionError


def mode(path):
    return path.stat().st_mode & 0o777


def test_a_private_file_is_written_once(tmp_path):
    path = tmp_path / "new" / "secret"
    assert files.ensure_private(path, "s")
    assert (path.read_text(), mode(path), mode(path.parent)) == ("s", 0o600, 0o700)
    assert not files.ensure_private(path, "s")
    assert files.ensure_private(path, "t")
    path.chmod(0o644)
    assert files.ensure_private(path, "t")
    assert mode(path) == 0o600


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path):
    path = tmp_path / "file"
    files.replace(path, "before", 0o640)
    with pytest.raises(UnicodeEncodeError):
        files.replace(path, "\udc80", 0o640)
    assert path.read_text() == "before"
    assert mode(path) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_one_holds_a_lock_and_the_other_waits_and_says_so(tmp_path):
    lock, waiting, order = tmp_path / "new" / "lock", threading.Event(), []

    def second():
        with files.exclusive_lock(lock, waiting.set):
            order.append("second")

    with files.exclusive_lock(lock, lambda: order.append("the first waits for nobody")):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(5)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_a_lock_that_was_removed_with_its_folder_is_nobody_s(tmp_path):
    lock, waiting, order = tmp_path / "new" / "lock", threading.Event(), []

    def second():
        with files.exclusive_lock(lock, waiting.set):
            order.append(lock.exists())

    with files.exclusive_lock(lock, lambda: None):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(5)
        shutil.rmtree(lock.parent)
    thread.join(5)
    # Not the file that is gone: whoever comes next would make another one, and hold that.
    assert order == [True]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{bad", "is not JSON"),
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "does not hold a JSON object"),
        (b"null", "does not hold a JSON object"),
    ],
)
def test_a_kept_file_that_is_damaged_is_named(tmp_path, content, said):
    file = tmp_path / "kept.json"
    file.write_bytes(content)
    with pytest.raises(ProvisionError) as refused:
        files.read_json(file, "Restore it.")
    assert refused.value.message.startswith(f"{file} {said}")
    assert refused.value.hint == "Restore it."


def test_a_kept_file_that_is_not_there_holds_nothing(tmp_path):
    assert files.read_json(tmp_path / "kept.json") == {}
