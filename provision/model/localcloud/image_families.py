"""The kinds of image that the `local` cloud is made from, what each is built of, and their names; touches nothing."""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

FAMILY_LABEL: Final = "provision.family"
INPUTS_LABEL: Final = "provision.inputs"
BASE_IMAGE: Final = "debian:trixie-slim"
SUITE: Final = "trixie"
_PACKAGE: Final = "provision"


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of image: what it is built on, and the files beside its own folder that its build needs."""

    name: str
    parent: str = "base"
    extra: tuple[str, ...] = ("compose/base/common.sh",)
    """Files below the data folder; each lies on top of the build context, by its own name."""
    program: str = ""
    """The module of this package that the image runs; its imports come into the image with it."""


FAMILIES: Final = (
    Family("base", BASE_IMAGE, ()),
    Family("consul", extra=()),
    Family("registrator", extra=(), program="provision.cli.registrator"),
    Family("haproxy", extra=()),
    Family("mariadb", program="provision.cli.galera"),
    Family("rabbitmq"),
    Family("memcached"),
    Family("ovn"),
    Family("registry"),
    Family("os", extra=()),
    Family("keystone", "os"),
    Family("glance", "os"),
    Family("placement", "os"),
    Family("nova", "os"),
    Family("neutron", "os"),
    Family("horizon", "os"),
    Family("compute", "nova"),
    Family("bake", extra=()),
)
"""Parents first. `bake` makes golden images; the rest are the cloud."""


def families(names: Collection[str]) -> list[Family]:
    """List some families and what they are built on, parents first."""
    wanted = set(names)
    for family in reversed(FAMILIES):
        if family.name in wanted:
            wanted.add(family.parent)
    return [family for family in FAMILIES if family.name in wanted]


def module_files(program: str, source: Callable[[str], str | None]) -> dict[str, str]:
    """Return the files of `program` and of all modules of this package that it imports, directly or not.

    The keys are paths as in a checkout (`provision/base/errors.py`). `source` gives the text of such a path, or None
    where there is no such file. Imports inside functions count; those for type checkers alone do not.
    """
    files: dict[str, str] = {}
    queue = [program]
    while queue:
        module = queue.pop()
        path = module.replace(".", "/")
        for place in (f"{path}.py", f"{path}/__init__.py"):
            text = None if place in files else source(place)
            if text is not None:
                files[place] = text
                queue += _imports(ast.parse(text))
        # Python runs every package on the way to a module.
        if parent := module.rpartition(".")[0]:
            queue.append(parent)
    return files


def _imports(tree: ast.AST) -> list[str]:
    """List what may be a module of ours among the names that a module imports when it runs."""
    found: list[str] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            found += _imports(ast.Module(node.orelse, []))
            continue
        if isinstance(node, ast.Import):
            found += [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        found += _imports(node)
    return [name for name in found if name.partition(".")[0] == _PACKAGE]


def image_tags(contexts: Mapping[str, Mapping[str, bytes]]) -> dict[str, str]:
    """Hash each family's build context (file name -> content) together with its parent's hash: 12 hex digits each."""
    tags: dict[str, str] = {}
    for family in FAMILIES:
        digest = hashlib.sha256(tags.get(family.parent, family.parent).encode())
        for name, content in sorted(contexts[family.name].items()):
            digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
        tags[family.name] = digest.hexdigest()[:12]
    return tags


def image_name(family: str, tags: Mapping[str, str]) -> str:
    """Name a family's image, or the base image as it is."""
    return f"provision/{family}:{tags[family]}" if family in tags else family


@dataclass(frozen=True, slots=True)
class AptMirrors:
    """Where this machine gets Debian's packages from; None: what the base image knows."""

    archive: str | None = None
    security: str | None = None


def apt_sources(mirrors: AptMirrors, suite: str = SUITE) -> str:
    """Write a sources.list for `suite` from the host's own mirrors, or nothing where the host is no Debian."""
    if not mirrors.archive:
        return ""
    key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    lines = [f"deb {key} {mirrors.archive} {each} main" for each in (suite, f"{suite}-updates")]
    if mirrors.security:
        lines.append(f"deb {key} {mirrors.security} {suite}-security main")
    return "\n".join(lines) + "\n"
