"""Notebooks as text, in jupytext's percent format: what they say of themselves, and what Jupyter gets of them.

jupytext reads and writes the same files (docs/how-to/examples.md). Of its format they use what is read here: a header
in YAML, code cells, Markdown cells, and tags.
"""

from __future__ import annotations

import ast
import itertools
import math
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from provision.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PARAMETERS: Final = "parameters"
"""Tag of the cell whose assignments may be followed by others, as papermill has it."""
BOUNDS: Final = "bounds"
"""Tag of the cell that asserts what the parameters may be, before anything is done with them."""
_HEADER: Final = re.compile(r"# ---\n(.*?)# ---\n", re.DOTALL)
_MARK: Final = re.compile(r"# %%(?: (\[markdown\]))?(?: tags=(\[.*\]))?")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a notebook."""

    source: str
    markdown: bool = False
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """A notebook, and what it says of itself."""

    name: str
    title: str
    summary: str
    """One sentence."""
    packages: tuple[str, ...]
    """Python packages that it needs beside those of the image."""
    kernel: Mapping[str, str]
    cells: tuple[Cell, ...]

    @property
    def parameters(self) -> dict[str, Any]:
        """Names and defaults of what may be given when it is run."""
        return {
            statement.targets[0].id: ast.literal_eval(statement.value)
            for statement in self._statements(PARAMETERS)
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        }

    @property
    def bounds(self) -> list[str]:
        """Return what its parameters have to meet, each a comparison in Python."""
        return [
            ast.unparse(statement.test) for statement in self._statements(BOUNDS) if isinstance(statement, ast.Assert)
        ]

    def _statements(self, tag: str) -> list[ast.stmt]:
        sources = [cell.source for cell in self.cells if tag in cell.tags]
        return [statement for source in sources for statement in ast.parse(source).body]


def read(name: str, text: str) -> Example | None:
    """Read a notebook; None for a text that is none, as a module beside them. Raises ValueError."""
    header = _HEADER.match(text)
    if header is None:
        return None
    said = yaml.safe_load("\n".join(line.removeprefix("#")[1:] for line in header[1].splitlines()))["jupyter"]
    cells = tuple(_cells(text[header.end() :]))
    if not cells or not cells[0].markdown or not cells[0].source.startswith("# "):
        raise ValueError(f"{name}: its first cell has to be Markdown, and begin with a title")
    return Example(
        name=name,
        title=cells[0].source.splitlines()[0].removeprefix("# "),
        summary=said["provision"]["summary"],
        packages=tuple(said["provision"].get("packages", ())),
        kernel=said["kernelspec"],
        cells=cells,
    )


def _cells(text: str) -> list[Cell]:
    cells: list[Cell] = []
    for part in re.split(r"^(?=# %%)", text, flags=re.MULTILINE)[1:]:
        mark, _, source = part.partition("\n")
        match = _MARK.fullmatch(mark)
        if match is None:
            raise ValueError(f"this mark of a cell is not understood: {mark}")
        source = source.strip("\n")
        if match[1]:
            source = "\n".join(line.removeprefix("#").removeprefix(" ") for line in source.splitlines())
        cells.append(Cell(source, bool(match[1]), tuple(ast.literal_eval(match[2] or "[]"))))
    return cells


_KINDS: Final[dict[type, str]] = {int: "whole number", float: "number", bool: "True or False"}
"""Kinds of parameters as people call them."""
_COMPARED: Final[dict[type[ast.cmpop], Callable[[Any, Any], bool]]] = {ast.LtE: operator.le, ast.GtE: operator.ge}


def given(example: Example, settings: Sequence[str]) -> dict[str, Any]:
    """Read `NAME=VALUE` for parameters of an example, with the types of their defaults, within its bounds.

    Raises UsageError.
    """
    known: dict[str, Any] = example.parameters
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or key not in known:
            has = ", ".join(f"{name}={default!r}" for name, default in known.items()) or "none"
            raise UsageError(f"{setting}: {example.name} has no such parameter", f"Its parameters are: {has}.")
        kind = type(known[key])
        try:
            values[key] = text if kind is str else _number(kind, text)
        # What literal_eval raises for whatever people write, and int for more than a float can be.
        except (ValueError, TypeError, SyntaxError, OverflowError, RecursionError, MemoryError):
            raise UsageError(
                f"{setting}: that is no {_KINDS.get(kind, 'value of its kind')}",
                f"Write it as in {key}={known[key]!r}.",
            ) from None
        for bound in example.bounds:
            if not _holds(bound, known | values):
                raise UsageError(f"{setting}: {example.name} takes {bound}", f"Without -p it is {known[key]!r}.")
    return values


def _number(kind: type, text: str) -> float:
    """Return the number, or the truth value, that a text is. Raises ValueError for one of another kind, and others."""
    value = ast.literal_eval(text.replace("_", ""))
    # 1e7 is a whole number, 1.5 is none; and Python takes True for 1.
    if isinstance(value, bool) != (kind is bool) or kind(value) != value or abs(value) == math.inf:
        raise ValueError(text)
    number: float = kind(value)
    return number


def _holds(bound: str, values: Mapping[str, Any]) -> bool:
    test = ast.parse(bound, mode="eval").body
    if not isinstance(test, ast.Compare):
        raise ValueError(f"{bound} is no comparison")  # noqa: TRY004 - of a text
    sides = [
        values[side.id] if isinstance(side, ast.Name) else ast.literal_eval(side)
        for side in (test.left, *test.comparators)
    ]
    return all(
        _COMPARED[type(how)](one, other) for how, (one, other) in zip(test.ops, itertools.pairwise(sides), strict=True)
    )


def to_json(example: Example) -> dict[str, Any]:
    """Return the notebook as Jupyter keeps it (nbformat 4.5), without outputs."""
    cells: list[dict[str, Any]] = []
    for place, cell in enumerate(example.cells, 1):
        kind: dict[str, Any] = (
            {"cell_type": "markdown"}
            if cell.markdown
            else {"cell_type": "code", "execution_count": None, "outputs": []}
        )
        metadata = {"tags": list(cell.tags)} if cell.tags else {}
        cells.append({**kind, "id": f"cell-{place}", "metadata": metadata, "source": cell.source})
    about = {"kernelspec": dict(example.kernel), "language_info": {"name": "python"}}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": about, "cells": cells}
