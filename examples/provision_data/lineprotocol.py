"""InfluxDB's line protocol: points as text and back, with the escapes that names and values need.

`MEASUREMENT,TAG=VALUE,… FIELD=VALUE,… SECONDS`, a line for each point. InfluxDB takes it, and so do VictoriaMetrics,
QuestDB and others.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Value = float | int | bool | str
_NAME: Final = re.compile(r"([\\, =])")
_QUOTED: Final = re.compile(r'([\\"])')
# A backslash before any other letter is a backslash.
_ESCAPED_NAME: Final = re.compile(r"\\([\\, =])")
_ESCAPED_QUOTED: Final = re.compile(r'\\([\\"])')
_WORD: Final = r"(?:[^\\, =]|\\.)+"
_GIVEN: Final = (
    r'"(?:[^"\\]|\\.)*"|(?i:true|false|t|f)|[-+]?[0-9]+i|[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?'
)
_TAG: Final = re.compile(rf",({_WORD})=({_WORD})")
_FIELD: Final = re.compile(rf"({_WORD})=({_GIVEN})")
_LINE: Final = re.compile(
    rf"({_WORD})((?:,{_WORD}={_WORD})*) +({_WORD}=(?:{_GIVEN})(?:,{_WORD}=(?:{_GIVEN}))*) +(-?\d+)"
)


@dataclass(frozen=True)
class Point:
    """What was measured at one time at one place."""

    measurement: str
    fields: Mapping[str, Value]
    seconds: int
    """Since 1970, UTC."""
    tags: Mapping[str, str] = field(default_factory=dict)


def encode(point: Point) -> str:
    """Return a point as a line, without its end. Raises ValueError for what the protocol has no way to say."""
    if point.measurement.startswith("#"):
        raise ValueError(f"{point.measurement!r} cannot be a name: a line that begins with # is a comment")
    if not point.fields:
        raise ValueError(f"{point.measurement}: a point has one field at least")
    tags = "".join(f",{_name(key)}={_name(value)}" for key, value in sorted(point.tags.items()))
    fields = ",".join(f"{_name(key)}={_value(value)}" for key, value in point.fields.items())
    return f"{_name(point.measurement)}{tags} {fields} {point.seconds}"


def _name(text: str) -> str:
    # A line ends a point: its end cannot be escaped.
    if not text or "\n" in text or "\r" in text:
        raise ValueError(f"{text!r} cannot be a name or the value of a tag")
    return _NAME.sub(r"\\\1", text)


def _value(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"{value} has more than 64 bits")
        return f"{value}i"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot be the value of a field")
        return repr(value)
    if "\n" in value or "\r" in value:
        raise ValueError(f"{value!r} has more than one line")
    return '"' + _QUOTED.sub(r"\\\1", value) + '"'


def decode(text: str) -> Iterator[Point]:
    """Yield the points of lines. Raises ValueError with the line for one that is none."""
    for line in text.split("\n"):
        words = line.strip(" \r")
        if words and not words.startswith("#"):
            yield _point(words)


def _point(line: str) -> Point:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"that is no point: {line}")
    name, tags, fields, seconds = match.groups()
    return Point(
        _plain(name),
        {_plain(key): _read(value) for key, value in _FIELD.findall(fields)},
        int(seconds),
        {_plain(key): _plain(value) for key, value in _TAG.findall(tags)},
    )


def _plain(name: str) -> str:
    return _ESCAPED_NAME.sub(r"\1", name)


def _read(text: str) -> Value:
    if text.startswith('"'):
        return _ESCAPED_QUOTED.sub(r"\1", text[1:-1])
    if text.lower() in ("true", "false", "t", "f"):
        return text[0] in "tT"
    return int(text[:-1]) if text.endswith("i") else float(text)
