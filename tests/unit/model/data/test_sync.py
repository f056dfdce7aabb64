"""What differs between two folders, kind by kind."""

from __future__ import annotations

import pytest

from provision.model.data.sync import Differences, differences

FILE = ["file", 3, 1_600_000_000_123_456_789, ""]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (FILE, FILE, True),
        (FILE, ["file", 4, FILE[2], ""], False),
        (FILE, ["file", 3, FILE[2] + 1, ""], False),
        (FILE, ["file", 3, 1_600_000_000_000_000_000, ""], True),
        (FILE, ["file", 3, 1_600_000_001_000_000_000, ""], False),
        (["file", 3, 1, "aa"], ["file", 3, 2, "aa"], True),
        (["file", 3, 1, "aa"], ["file", 3, 1, "bb"], False),
        (["link", 0, 0, "x"], ["link", 0, 0, "x"], True),
        (["link", 0, 0, "x"], ["link", 0, 0, "y"], False),
        (["link", 0, 0, "x"], FILE, False),
        (["folder", 0, 0, ""], ["folder", 0, 0, ""], True),
    ],
)
def test_one_entry(one, other, same):
    assert differences({"a": one}, {"a": other}) == Differences(() if same else ("a",))
    assert bool(differences({"a": one}, {"a": other})) is not same


def test_new_and_gone():
    folder = ["folder", 0, 0, ""]
    found = differences({"d": folder, "d/x": FILE}, {"e": folder, "e/y": FILE})
    assert found == Differences(("d", "d/x"), ("e", "e/y"))


def test_a_folder_against_a_file_makes_room_with_what_is_in_it():
    folder = ["folder", 0, 0, ""]
    found = differences({"a": FILE, "b": folder, "b/x": FILE}, {"a": folder, "a/in": FILE, "b": FILE, "c": FILE})
    assert found == Differences(("a", "b", "b/x"), ("c",), ("a", "a/in", "b"))
