"""Change the users in the text of a cluster.yaml; everything else of it stays as it was written, comments included."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString
from ruamel.yaml.util import load_yaml_guess_indent

from provision.base.errors import UsageError
from provision.clusterfile.document import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from provision.base.model import User


@dataclass(frozen=True, slots=True)
class _File:
    """A document that can be changed, and the tool that writes it as it was."""

    tool: YAML
    data: CommentedMap


def with_users(text: str, source: str, users: Iterable[User], default: Sequence[str]) -> str:
    """Return the text with these users: those that it names already have the new fields, the others come last.

    `default` are the users of a text that names none. Raises UsageError where the text cannot be changed.
    """

    def change(listed: CommentedSeq) -> None:
        for user in users:
            place = next((at for at, entry in enumerate(listed) if _name(entry) == user.name), None)
            if place is None:
                listed.append(_entry(user))
            else:
                _update(listed, place, user)

    return _change(text, source, change, default)


def without_users(text: str, source: str, names: Iterable[str], default: Sequence[str]) -> str:
    """Return the text without these users. Raises UsageError where the text cannot be changed."""
    gone = set(names)

    def change(listed: CommentedSeq) -> None:
        for place in reversed(range(len(listed))):
            if _name(listed[place]) in gone:
                del listed[place]

    return _change(text, source, change, default)


def _change(text: str, source: str, change: Callable[[CommentedSeq], None], default: Sequence[str]) -> str:
    file = _load(text)
    if file.data.get("hub") is None:
        file.data["hub"] = CommentedMap()
    hub = file.data["hub"]
    if hub.get("users") is None:
        hub["users"] = CommentedSeq(default)
        hub["users"].fa.set_flow_style()
    change(hub["users"])
    written = io.StringIO()
    file.tool.dump(file.data, written)
    new = written.getvalue()
    if _others(new) != _others(text):
        raise UsageError(
            f"{source} is written in a way that cannot be changed without changing more than hub.users",
            "Nothing was changed. Change hub.users by hand, then run `provision users apply`.",
        )
    return new.replace("\n", "\r\n") if "\r\n" in text else new


def _load(text: str) -> _File:
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    tool = YAML()
    tool.preserve_quotes = True
    tool.width = 4096
    _, indent, offset = load_yaml_guess_indent(text)
    if indent:
        tool.indent(mapping=_mapping_indent(text), sequence=indent, offset=offset or 0)
    return _File(tool, tool.load(text))


def _mapping_indent(text: str) -> int:
    """Return how far the fields of a section stand to the right; 2 where no section shows it."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", "-"))]
    return next((len(line) - len(line.lstrip()) for line in lines if line.startswith(" ")), 2)


def _others(text: str) -> Any:  # noqa: ANN401 - YAML holds anything
    """Return what the text says, without its users."""
    data = parse(text).data
    hub = {key: value for key, value in (data.get("hub") or {}).items() if key != "users"}
    return {key: value for key, value in data.items() if key != "hub"} | {"hub": hub}


def _name(entry: object) -> str:
    return str(entry.get("name")) if isinstance(entry, dict) else str(entry)


def _update(listed: CommentedSeq, place: int, user: User) -> None:
    """Give an entry the user's fields, with the comments that it has."""
    entry, new = listed[place], _entry(user)
    if isinstance(new, str):
        return
    if isinstance(entry, CommentedMap):
        entry.update(new)
        return
    comment = listed.ca.items.pop(place, None)
    if comment and comment[0]:
        # It stands behind the name: then the other fields go below it.
        new.fa.set_block_style()
        new.ca.items["name"] = [None, None, comment[0], None]
    listed[place] = new


def _text(name: str) -> str:
    """Return a name, in quotes where a spec's reader takes it for something else: true for `on`, as YAML 1.1 has it."""
    return name if yaml.safe_load(name) == name else DoubleQuotedScalarString(name)


def _entry(user: User) -> str | CommentedMap:
    """Return a user as the list has it: a bare name where that says everything."""
    fields: dict[str, object] = {"name": _text(user.name)}
    if user.admin:
        fields["admin"] = True
    if user.groups:
        groups = CommentedSeq(map(_text, user.groups))
        groups.fa.set_flow_style()
        fields["groups"] = groups
    if user.must_change_password:
        fields["must_change_password"] = True
    if len(fields) == 1:
        return _text(user.name)
    entry = CommentedMap(fields)
    entry.fa.set_flow_style()
    return entry
