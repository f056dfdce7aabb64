"""The line protocol: what is written is what is read, and what cannot be said is refused."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from provision_data.lineprotocol import Point, decode, encode

LINES = {
    "as published": (
        Point("Humidity", {"value": 52.0}, 1468157799, {"station_name": "MyStation", "module_name": "Outdoors"}),
        "Humidity,module_name=Outdoors,station_name=MyStation value=52.0 1468157799",
    ),
    "spaces, commas, equals signs": (
        Point("a b", {"x=y": 1.5}, 0, {"tag,one": "Living room, south"}),
        r"a\ b,tag\,one=Living\ room\,\ south x\=y=1.5 0",
    ),
    "quotes are letters in names": (Point("m", {"v": 1.0}, 1, {"t": 'say "hi"'}), r'm,t=say\ "hi" v=1.0 1'),
    "a backslash at the end": (Point("m", {"v": 1.0}, 1, {"t": "C:\\"}), r"m,t=C:\\ v=1.0 1"),
    "non-ASCII": (
        Point("Température", {"värde": -3.5}, 1, {"by": "Tromsø ☃"}),
        "Température,by=Tromsø\\ ☃ värde=-3.5 1",
    ),
    "integers and booleans": (Point("m", {"i": -7, "yes": True, "no": False}, 1), "m i=-7i,yes=true,no=false 1"),
    "a string": (Point("m", {"s": 'a "b", c=\\d'}, 1), r'm s="a \"b\", c=\\d" 1'),
    "a hash that begins no line": (Point("m", {"#v": 1.0}, 1, {"#t": "#1"}), "m,#t=#1 #v=1.0 1"),
    "before 1970": (Point("m", {"v": 1e-300}, -5), "m v=1e-300 -5"),
}


@pytest.mark.parametrize("case", LINES)
def test_lines(case):
    point, line = LINES[case]
    assert encode(point) == line
    assert list(decode(line)) == [point]


def test_what_others_write():
    text = '# a comment\n\nm  v=1i,ok=T 5\r\nm\\x,t=a\\b v="" 6\n'
    assert list(decode(text)) == [Point("m", {"v": 1, "ok": True}, 5), Point("m\\x", {"v": ""}, 6, {"t": "a\\b"})]


@pytest.mark.parametrize(
    "line",
    [
        *("m", "m 1", "m v= 1", "m v=1", ",t=a v=1 1", "m,t v=1 1", 'm v="a 1', "m v=1 now"),
        *("m v=warm 1", "m v=nan 1", "m v=inf 1", "m v=1_0 1", "m v=1.5i 1", "m v=trueish 1"),
    ],
)
def test_lines_that_are_none_are_named(line):
    with pytest.raises(ValueError, match=f"^that is no point: {re.escape(line)}$"):
        list(decode(f"m v=1 1\n{line}"))


@pytest.mark.parametrize(
    "point",
    [
        Point("m", {}, 1),
        Point("", {"v": 1}, 1),
        Point("#m", {"v": 1}, 1),
        Point("m", {"v": 1}, 1, {"t": ""}),
        Point("m", {"v": 1}, 1, {"t": "two\nlines"}),
        Point("m", {"v": math.nan}, 1),
        Point("m", {"v": math.inf}, 1),
        Point("m", {"v": 2**63}, 1),
        Point("m", {"v": "two\nlines"}, 1),
    ],
)
def test_what_cannot_be_said(point):
    with pytest.raises(ValueError, match=r"name|field|bits|lines"):
        encode(point)


no_line_ends = st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])
names = st.text(no_line_ends, min_size=1, max_size=12)
values = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.text(no_line_ends, max_size=12),
)
points = st.builds(
    Point,
    names.filter(lambda name: not name.startswith("#")),
    st.dictionaries(names, values, min_size=1, max_size=3),
    st.integers(-(2**40), 2**40),
    st.dictionaries(names, names, max_size=3),
)


@given(st.lists(points, max_size=4))
def test_what_is_written_is_what_is_read(written):
    read = list(decode("\n".join(map(encode, written))))
    assert read == written
    assert [[type(value) for value in point.fields.values()] for point in read] == [
        [type(value) for value in point.fields.values()] for point in written
    ]
