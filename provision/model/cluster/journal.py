"""The nodes' journals as one log: what may be asked for, and lines of what adapters/onnode/journal.py tells."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from provision.model.logs import Line, plain, utc
from provision.model.masking import masked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

SERVICE: Final = ".service"
_UNITS: Final = "image/files/etc/systemd/system"
"""The folder, below templates, of the image's own units and of its additions to others'."""
_OTHERS: Final = ("nfs-server.service", "nftables.service")
"""Units of Debian's that a node's own start or fill in."""
_COMING: Final = ("notebook-*.service", "job-*.service")
"""Patterns of the units of users' notebooks and programs, whoever they are."""


@dataclass(frozen=True, slots=True)
class JournalChoice:
    """Whose lines are read: of these nodes, and of the units that fit these patterns."""

    nodes: tuple[str, ...]
    units: tuple[str, ...]


def known_units(templates: Path, users: Iterable[str]) -> tuple[str, ...]:
    """Return the units, and patterns of units, that make a node what it is, those of the users' programs among them."""
    names = set(_OTHERS)
    for path in (templates / _UNITS).iterdir():
        # `x.service.d` is an addition to Debian's unit; of `x@.service` there are many.
        name = path.name.removesuffix(".d").replace("@.", "@*.")
        names.add(name)
    return (*sorted(names), *(f"notebook-{user}{SERVICE}" for user in users), *_COMING)


def choose(words: Sequence[str], cluster: str, nodes: Sequence[str], units: Sequence[str]) -> JournalChoice:
    """Choose nodes and units by their names; without a word of a kind, all of it.

    A node may be named by its end (`worker-1`), a unit without `.service`, or by a pattern (`notebook-*`). Raises
    KeyError with the first word that is neither.
    """
    chosen_nodes: list[str] = []
    chosen_units: list[str] = []
    for word in words:
        if found := {word, f"{cluster}-{word}"} & set(nodes):
            chosen_nodes += found
        elif fitting := _units(word, units):
            chosen_units += fitting
        else:
            raise KeyError(word)
    return JournalChoice(
        tuple(node for node in nodes if not chosen_nodes or node in chosen_nodes),
        tuple(dict.fromkeys(chosen_units or units)),
    )


def _units(word: str, units: Sequence[str]) -> list[str]:
    """Return the units that are called so, or fit the pattern; of many of one kind (`x@1`), one by its name."""
    for name in (word, f"{word}{SERVICE}"):
        if fitting := [unit for unit in units if fnmatchcase(unit, name)]:
            return fitting
        if any("@" in unit and fnmatchcase(name, unit) for unit in units):
            return [name]
    return []


def listed(nodes: Iterable[str], units: Iterable[str], jobs: Iterable[str]) -> str:
    """Say what there is to be asked for."""
    names = ", ".join(unit.removesuffix(SERVICE) for unit in units)
    programs = ", ".join(jobs)
    return f"Nodes: {', '.join(nodes)}. Units: {names}. {f'Jobs: {programs}.' if programs else 'There is no job.'}"


class JournalReader:
    """Reads what one node tells; afterwards it knows where another run has to go on."""

    def __init__(self, node: str, secrets: Iterable[str]) -> None:
        self.cursor = ""
        """After which entry to go on; empty while the node has told nothing."""
        self._node = node
        self._secrets = tuple(secrets)

    def lines(self, told: Iterable[bytes], reached: Callable[[], None]) -> Iterator[Line]:
        """Make lines of entries, and call `reached` at each. A message of several lines stays one.

        Entries of one microsecond keep their order: the digits after it count them.
        """
        last, count = 0, 0
        for each in told:
            try:
                entry = json.loads(each)
                cursor = str(entry["cursor"])
            except (ValueError, KeyError, TypeError):
                continue  # it was cut off with the connection
            reached()
            if "at" in entry:
                last, count = entry["at"], min(count + 1, 999) if entry["at"] == last else 0
                text, unit = masked(plain(entry["text"]), self._secrets), plain(entry["unit"].removesuffix(SERVICE))
                yield Line(f"{utc(last)[:-1]}{count:03}Z", self._node, text, unit)
            self.cursor = cursor
