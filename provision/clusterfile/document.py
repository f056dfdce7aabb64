"""Parse YAML into plain data with the line of every field, more strictly than YAML itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import yaml

Path = tuple[str | int, ...]

VERBATIM: Final[tuple[Path, ...]] = (("spark", "defaults"),)
"""Maps whose values are text as it is written: YAML would make 18 of `022`, true of `on`, and 3600 of `1:00:00`."""
_NUMBER: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]*)?([eE][-+]?[0-9]+)?|[-+]?\.[0-9]+([eE][-+]?[0-9]+)?")
"""A number as people read it. YAML makes 291 of 0443, 450 of 7:30, 8 of 010, 10 of 1_0 and 16 of 0x10."""
_NUMBER_FIX: Final = (
    "Write a number in digits alone, without a leading 0, `_`, `:` or `0x`; a time as 90s, 30m or 1h30m; "
    "text in quotes."
)
_DIGITS: Final = 18
ALIASES_AT_MOST: Final = 50
"""A spec needs no more; without a limit a few lines of YAML can expand to gigabytes."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a spec."""

    where: Path
    """The path of the field; empty for the whole file."""
    wrong: str
    """What is wrong."""
    fix: str = ""
    """What to do about it: a sentence."""
    line: int | None = None
    """Line in the file, counted from 1; None if it follows from `where`, or there is none."""

    @property
    def field(self) -> str:
        """The path as people write it: `hub.users[1].name`."""
        text = ""
        for part in self.where:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return text


class BadDocument(Exception):  # noqa: N818 - it carries problems, it is not one
    """The text is not one YAML document."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems)
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file."""

    data: Any
    lines: dict[Path, int]
    """Line of each field, counted from 1."""
    problems: tuple[Problem, ...]
    """What was wrong with single fields."""
    unread: frozenset[Path] = frozenset()
    """Fields whose values could not be read: there is a problem for each, and the data has None."""

    def line(self, where: Path) -> int | None:
        """Return the line of a field, or of the nearest field above it that is in the file."""
        for length in range(len(where), 0, -1):
            if where[:length] in self.lines:
                return self.lines[where[:length]]
        return None


def parse(text: str) -> Document:
    """Parse one YAML document. Raises BadDocument when the text is not one."""
    try:
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ", ".join(part for part in (error.context, error.problem) if part)
        tab = "\t" in text and "'\\t'" in message
        fix = "Indent with spaces, not tabs." if tab else "Look at this line and the one above it."
        raise BadDocument(
            Problem((), f"it is not YAML: {message}", fix, line=None if mark is None else mark.line + 1)
        ) from None
    except RecursionError:
        fix = "Compare it with what `provision init` writes."
        raise BadDocument(Problem((), "it is nested too deeply", fix)) from None
    except yaml.YAMLError as error:
        raise BadDocument(
            Problem((), f"it is not YAML: {' '.join(str(error).split())}", "Save it as plain text in UTF-8.")
        ) from None
    if len(nodes) > 1:
        raise BadDocument(Problem((), f"it holds {len(nodes)} documents", "Keep one: remove the `---` lines."))
    if not nodes or nodes[0] is None:
        raise BadDocument(
            Problem((), "it is empty", "Give the cluster a name: `name: analytics`; every other field has a default.")
        )
    reader = _Reader()
    data = reader.read(nodes[0], ())
    return Document(data, reader.lines, tuple(reader.problems), frozenset(reader.unread))


class _Reader:
    """Walks the nodes of one document, and collects lines and problems."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []
        self.unread: set[Path] = set()
        self._seen: set[int] = set()
        self._repeats = 0
        # Converts scalar nodes to values by YAML's own rules.
        self._scalars = yaml.SafeLoader("")

    def read(self, node: yaml.Node, where: Path) -> Any:  # noqa: ANN401 - YAML holds anything
        """Return the data of a node."""
        line = node.start_mark.line + 1
        self.lines.setdefault(where, line)
        if isinstance(node, yaml.MappingNode | yaml.SequenceNode):
            if id(node) in self._seen:
                self._repeats += 1
                if self._repeats > ALIASES_AT_MOST:
                    raise BadDocument(Problem(where, "it has too many aliases", "Write the values out.", line))
            self._seen.add(id(node))
            if len(where) > 20:
                raise BadDocument(
                    Problem(where[:3], "it is nested too deeply", "Compare it with what `provision init` writes.", line)
                )
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*where, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, where)

    def _mapping(self, node: yaml.MappingNode, where: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(where, "a field's name is a list or a map", "Write it as text.", line))
                continue
            if key == "<<":
                self.problems.append(Problem(where, "merge keys (`<<`) are not read", "Write the fields out.", line))
                continue
            here = (*where, key)
            if key in found:
                first = self.lines[here]
                self.problems.append(
                    Problem(here, f"it is given twice, first on line {first}", "Keep one of the two.", line)
                )
                continue
            self.lines[here] = line
            found[key] = self.read(value_node, here)
        return found

    def _scalar(self, node: yaml.Node, where: Path) -> Any:  # noqa: ANN401
        text = str(node.value)
        # No field is a date: a name may look like one.
        if node.tag.endswith(":timestamp") or (where[:-1] in VERBATIM and not node.tag.endswith((":null", ":binary"))):
            return text
        if node.tag.endswith((":int", ":float")) and text.lstrip("+-").lower() not in (".inf", ".nan"):
            if not _NUMBER.fullmatch(text):
                return self._unread(
                    node, where, f"YAML reads {text} as another number{self._read_as(node)}", _NUMBER_FIX
                )
            if len(text) > _DIGITS:
                return self._unread(
                    node, where, f"it is a number of {len(text)} digits", "Check it: no field takes so many."
                )
        try:
            return self._scalars.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError) as error:
            reason = getattr(error, "problem", None) or str(error)
            return self._unread(node, where, f"cannot be read: {reason}", "Put the value in quotes.")

    def _read_as(self, node: yaml.Node) -> str:
        try:
            return f", {self._scalars.construct_object(node, deep=True)}"
        except (yaml.YAMLError, ValueError):
            return ""

    def _unread(self, node: yaml.Node, where: Path, wrong: str, fix: str) -> None:
        self.problems.append(Problem(where, wrong, fix, node.start_mark.line + 1))
        self.unread.add(where)
