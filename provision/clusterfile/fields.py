"""How single values of a spec are read, whatever YAML has made of them, and how errors show them.

Each function that reads one raises Wrong.
"""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BeforeValidator

from provision.clusterfile import units
from provision.clusterfile.units import Wrong

if TYPE_CHECKING:
    from collections.abc import Callable


_LONGEST: Final = 60
"""Characters of a value that is shown."""


def describe(value: object) -> str:
    """Name the kind of a value, and show it: `a number (12)`."""
    if value is None:
        return "nothing"
    names: dict[type, str] = {bool: "a true/false value", int: "a number", float: "a number", list: "a list"}
    return "a map" if isinstance(value, dict) else f"{names.get(type(value), 'a value')} ({written(value)})"


def written(value: object) -> str:
    """Show a value as YAML has it: `true`, `null`, `[1, 2]`, and text in quotes."""
    if isinstance(value, str):
        return repr(value)
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return "a value"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def text(parse: Callable[[str], object]) -> BeforeValidator:
    """Make a validator of a function that parses text; values that are not text are refused."""

    def read(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, str):
            raise Wrong(f"{describe(value)} where text belongs", "Put the value in quotes.")
        return parse(value)

    return BeforeValidator(read)


def duration(value: object) -> int:
    """Read a time of at least a minute, or 0."""
    if value == 0 and not isinstance(value, bool):
        return 0
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise Wrong(f"{value} has no unit", f"Write {value}s, or 90s, 30m, 1h.")
    if not isinstance(value, str):
        raise Wrong(f"{describe(value)} where a time belongs", "Write a number and a unit: 30m or 1h.")
    seconds = units.duration_seconds(value)
    if 0 < seconds < 60:
        raise Wrong(f"{value!r} is shorter than a minute", "Use 1m or more; 0 never stops a notebook.")
    return seconds


def size(value: object) -> int:
    """Read a size, in MiB."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise Wrong(f"{value} has no unit", f"Write {value}m or {value}g.")
    if not isinstance(value, str):
        raise Wrong(f"{describe(value)} where a size belongs", "Write a number and a unit: 512m or 2g.")
    return units.size_mib(value)


def named(value: str) -> str:
    """Read a name."""
    if not value.strip():
        raise Wrong("it is empty", "Give a name, or remove the line for the default.")
    return value


def true_or_address(value: object) -> bool | str:
    """Read `true`, `false` or a floating IP's address."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise Wrong(f"{describe(value)} where an address belongs", "Write true, false, or a floating IP's address.")
    return units.address(value)


def switched_off(value: object) -> object:
    """Read one of several words, of which `off` is one."""
    # YAML reads a plain `off` as false.
    return "off" if value is False else value


def listed(value: object) -> object:
    """Read a list."""
    # `packages:` with nothing below it, as a commented file leaves it, is an empty list.
    return [] if value is None else value


ClusterName = Annotated[str, text(units.cluster_name)]
Named = Annotated[str, text(named)]
Range = Annotated[IPv4Network, text(units.network)]
OwnRange = Annotated[IPv4Network, text(units.own_network)]
Listed = Annotated[list[Named], BeforeValidator(listed)]
Nameservers = Annotated[list[Annotated[str, text(units.nameserver)]], BeforeValidator(listed)]
