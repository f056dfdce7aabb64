"""The kinds of image that the `local` cloud is made from, what each is built of, and their names; touches nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

FAMILY_LABEL: Final = "provision.family"
INPUTS_LABEL: Final = "provision.inputs"
BASE_IMAGE: Final = "debian:trixie-slim"
SUITE: Final = "trixie"


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of image: what it is built on, and the files beside its own folder that its build needs."""

    name: str
    parent: str = "base"
    extra: tuple[str, ...] = ("compose/base/common.sh",)
    """Files or folders below the data folder or the package; they arrive in the build context (see `extra_name`)."""


# What the Registrator is made of. All of the package would rebuild its image at every change of any module.
_REGISTRATOR: Final = (
    "provision/__init__.py", "provision/__main__.py", "provision/base",
    "provision/pure/__init__.py", "provision/pure/containers.py", "provision/pure/services.py",
    "provision/doors/__init__.py", "provision/doors/consul.py", "provision/doors/docker_events.py",
    "provision/workflows/__init__.py", "provision/workflows/registrator.py",
    "provision/cli/__init__.py", "provision/cli/main.py", "provision/cli/registrator.py",
)  # fmt: skip

# A member of the MariaDB cluster finds its way with a program of its own.
_GALERA: Final = (
    "provision/__init__.py", "provision/base", "provision/pure/__init__.py",
    "provision/pure/galera.py", "provision/pure/services.py", "provision/pure/containers.py",
    "provision/doors/__init__.py", "provision/doors/consul.py", "provision/doors/consul_keys.py",
    "provision/doors/mariadb.py", "provision/doors/process.py",
    "provision/workflows/__init__.py", "provision/workflows/galera.py",
    "provision/cli/__init__.py", "provision/cli/galera.py",
)  # fmt: skip

FAMILIES: Final = (
    Family("base", BASE_IMAGE, ()),
    Family("consul", extra=()),
    Family("registrator", extra=_REGISTRATOR),
    Family("haproxy", extra=()),
    Family("mariadb", extra=("compose/base/common.sh", *_GALERA)),
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


def extra_name(path: str) -> str:
    """Say where an extra file lies in the build context: the package keeps its folders, a script lies on top."""
    return path if path.startswith("provision/") else path.rsplit("/", 1)[-1]


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
