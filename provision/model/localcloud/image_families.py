"""The image families of the `local` cloud: what each image is built from, and its name."""

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
_COMMON: Final = "compose/base/common.sh"
_API: Final = (_COMMON, "compose/base/api.ini")
_DATABASE: Final = (*_API, "compose/base/read_connection.py", "compose/base/note_migrated.py")
"""Files that the entrypoints of APIs, and of those with a database, need."""


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of image: its parent, and what its build needs besides the files in its own folder, compose/<name>."""

    name: str
    parent: str = "base"
    extra: tuple[str, ...] = (_COMMON,)
    """Files below the data folder. Each is copied to the top of the build context under its own file name."""
    program: str = ""
    """Module of this package that the image runs; it and all that it imports are copied into the build context."""


FAMILIES: Final = (
    Family("base", BASE_IMAGE, ()),
    Family("consul", extra=()),
    Family("registrator", extra=(), program="provision.cli.registrator"),
    Family("haproxy", extra=()),
    Family("mariadb", program="provision.cli.galera"),
    Family("rabbitmq"),
    Family("memcached"),
    Family("ovn"),
    Family("monitoring"),
    Family("registry"),
    Family("restart-hypervisor", extra=()),
    Family("os", extra=()),
    Family("keystone", "os", _DATABASE),
    Family("glance", "os", _DATABASE),
    Family("placement", "os", _DATABASE),
    Family("nova", "os", _DATABASE),
    Family("neutron", "os", _DATABASE),
    Family("horizon", "os", (*_API, "templates/monitoring/page.html.j2"), program="provision.operations.horizon_page"),
    Family("compute", "nova"),
    Family("bake", extra=()),
)
"""Parents come first. `bake` makes golden images; the cloud runs the others."""
SHARED_FILES: Final = frozenset(name.rpartition("/")[2] for family in FAMILIES for name in family.extra)
"""Files in compose/base that the base image itself does not need."""


def families(names: Collection[str]) -> list[Family]:
    """List some families and those that they are built on, parents first."""
    wanted = set(names)
    for family in reversed(FAMILIES):
        if family.name in wanted:
            wanted.add(family.parent)
    return [family for family in FAMILIES if family.name in wanted]


def module_files(program: str, source: Callable[[str], str | None]) -> dict[str, str]:
    """Return the files of `program` and of all modules of this package that it imports, directly or not.

    The keys are paths as in a checkout (`provision/base/errors.py`). `source` returns the text of such a path, or None
    if there is no such file. Imports inside functions count; those for type checkers alone do not.
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
    """List the names from this package that a module imports when it runs; some are no modules."""
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
    """Return the name of a family's image; other names (the base image's) are returned as they are."""
    return f"provision/{family}:{tags[family]}" if family in tags else family


@dataclass(frozen=True, slots=True)
class AptMirrors:
    """Where this machine gets Debian's packages from; None: from the base image's own sources."""

    archive: str | None = None
    security: str | None = None


def apt_sources(mirrors: AptMirrors, suite: str = SUITE) -> str:
    """Write a sources.list for `suite` from the host's mirrors; empty if the host is not Debian."""
    if not mirrors.archive:
        return ""
    key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    lines = [f"deb {key} {mirrors.archive} {each} main" for each in (suite, f"{suite}-updates")]
    if mirrors.security:
        lines.append(f"deb {key} {mirrors.security} {suite}-security main")
    return "\n".join(lines) + "\n"
