"""Files that the user names: each way in which one cannot be read is said in a few words."""

from __future__ import annotations

import pytest

from provision.base.named_files import UnreadableError, read_bytes


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "does not exist"),
        ("folder", "is a folder"),
        ("nul\0", "null byte"),
        ("text/below", "cannot be read"),
    ],
)
def test_why_a_file_cannot_be_read(tmp_path, name, words):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("text")
    with pytest.raises(UnreadableError, match=words):
        read_bytes(tmp_path / name)
    assert read_bytes(tmp_path / "text") == b"text"
