"""How single values are read, whatever YAML has made of them. As parts of a whole file: test_models.py."""

from __future__ import annotations

import pytest

from provision.clusterfile import fields
from provision.clusterfile.fields import describe, written
from provision.clusterfile.units import Wrong


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


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (None, "nothing", "null"),
        (True, "a true/false value (true)", "true"),
        (12, "a number (12)", "12"),
        (2.5, "a number (2.5)", "2.5"),
        (["a", None], 'a list (["a", null])', '["a", null]'),
        ({"a": False}, "a map", '{"a": false}'),
        ("it's", 'a value ("it\'s")', '"it\'s"'),
        (b"x", "a value (a value)", "a value"),
    ],
)
def test_a_value_in_the_words_of_yaml(value, kind, shown):
    assert (describe(value), written(value)) == (kind, shown)


def test_a_long_value_is_cut():
    assert len(written(["a"] * 99)) == 60
