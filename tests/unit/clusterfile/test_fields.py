"""How single values are read, whatever YAML has made of them. As parts of a whole file: test_models.py."""

from __future__ import annotations

import pytest

from provision.clusterfile import fields
from provision.clusterfile.units import Wrong


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "nothing"),
        (True, "a true/false value (True)"),
        (7, "a number (7)"),
        ([1], "a list ([1])"),
        ({}, "a map"),
        (b"", "a value (b'')"),
    ],
)
def test_what_somebody_has_written(value, words):
    assert fields.describe(value) == words


@pytest.mark.parametrize(
    ("read", "value", "result"),
    [
        (fields.duration, 0, 0),
        (fields.duration, "90s", 90),
        (fields.size, "2g", 2048),
        (fields.named, "a", "a"),
        (fields.true_or_address, False, False),
        (fields.true_or_address, "198.51.100.7", "198.51.100.7"),
        (fields.switched_off, False, "off"),
        (fields.switched_off, "prefer", "prefer"),
        (fields.listed, None, []),
        (fields.listed, ["a"], ["a"]),
    ],
)
def test_values(read, value, result):
    assert read(value) == result


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (fields.duration, 30),
        (fields.duration, []),
        (fields.duration, "59s"),
        (fields.size, 2048),
        (fields.size, True),
        (fields.named, " "),
        (fields.true_or_address, 1),
        (fields.text(str).func, 1),
    ],
)
def test_bad_values(read, value):
    with pytest.raises(Wrong) as caught:
        read(value)
    assert caught.value.fix
