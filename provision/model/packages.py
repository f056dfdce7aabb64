"""Which Python packages and jars a cluster's nodes get beside the image: the request, its resolution, the bundle.

The request is what cluster.yaml says. It is resolved once, with the image's own libraries as constraints, into one
archive with a fixed set of files, the bundle, which all nodes get.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from provision.base.constants import NODE_PLATFORM, NODE_PYTHON

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from provision.base.model import PackagesSpec

_DIGITS: Final = 16
"""Length of digests, in hex digits: they are names of folders, and values of servers' metadata."""
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_NO_SOLUTION: Final = "No solution found when resolving dependencies"
_MARKS: Final = re.compile(r"^[^\w`]*(?:(?:error|cause|Caused by):)?\s*")
"""What uv draws in front of a line, and the word that begins it."""
_URL_PASSWORD: Final = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A resolved request, as it is kept in the cluster's folder and brought to the nodes."""

    digest: str
    """Hash of the archive: the name of its folder on the nodes."""
    python: tuple[str, ...] = ()
    """The packages in it, as `polars==1.2`; local wheels and URLs as `demo @ demo-1.0-py3-none-any.whl`."""
    jars: tuple[str, ...] = ()
    """File names."""
    size: int = 0
    """Bytes of the archive."""

    def text(self) -> str:
        """Return it as the JSON that is kept."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @property
    def described(self) -> str:
        """Say in a few words what is in it."""
        parts = [_count(len(self.python), "package"), _count(len(self.jars), "jar")]
        said = " and ".join(part for part in parts if part)
        return f"{said}, {self.size / 1e6:.1f} MB" if said else "the image has all of them"


def read_bundle(text: str) -> Bundle:
    """Read what Bundle.text wrote. Raises ValueError, KeyError or TypeError when it is something else."""
    data: dict[str, Any] = json.loads(text)
    return Bundle(
        digest=str(data["digest"]),
        python=tuple(map(str, data["python"])),
        jars=tuple(map(str, data["jars"])),
        size=int(data["size"]),
    )


def request_digest(packages: PackagesSpec, contents: Mapping[Path, str]) -> str:
    """Hash what the spec asks for; empty when that is nothing.

    `contents` has the hash of each file that the spec names: where a file lies does not matter.
    """
    if not packages:
        return ""
    asked = {
        "requirements": list(packages.requirements),
        "wheels": [[wheel.name, wheel.path.name, contents[wheel.path]] for wheel in packages.wheels],
        "jars": [[path.name, contents[path]] for path in packages.jars],
    }
    # Only where there are any: a request of an earlier version keeps its digest, and its bundle.
    return _digest(asked | ({"maven": list(packages.coordinates)} if packages.coordinates else {}))


def resolution_key(request: str, pins: Mapping[str, str]) -> str:
    """Name a resolution: the same request is resolved anew for an image with other libraries."""
    return _digest([request, dict(sorted(pins.items())), NODE_PYTHON, NODE_PLATFORM])


def input_lines(packages: PackagesSpec) -> str:
    """Return the request as the requirements.txt that is resolved."""
    wheels = [f"{wheel.name} @ {wheel.path.as_uri()}" for wheel in packages.wheels]
    return "".join(f"{line}\n" for line in (*packages.requirements, *wheels))


def constraints(pins: Mapping[str, str]) -> str:
    """Return the image's libraries as constraints of a resolution."""
    return "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))


def beside_image(lock: str, pins: Mapping[str, str]) -> str:
    """Leave the image's own libraries out of a resolved requirements.txt."""
    kept = [entry for entry in _entries(lock) if _canonical(entry) not in pins]
    return "".join(f"{entry}\n" for entry in kept)


def listed(lock: str) -> tuple[str, ...]:
    """Name the packages of a resolved requirements.txt, without hashes and without this machine's folders."""
    return tuple(_shown(entry.splitlines()[0]) for entry in _entries(lock))


def resolver_reason(output: str) -> str:
    """Make one line of what uv says when it finds no solution, without the user names and passwords of URLs."""
    # Hints name uv's own options, which are not at hand here.
    text = re.split(r"\n\s*hint:", without_credentials(output))[0]
    found = (_MARKS.sub("", line).strip() for line in text.splitlines())
    return " ".join(line for line in found if line and not line.startswith(_NO_SOLUTION)).rstrip(".")


def without_credentials(text: str) -> str:
    """Leave the user names and passwords of URLs out of a text that is shown."""
    return _URL_PASSWORD.sub("", text)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}" if number else ""


def _digest(data: object) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def _entries(lock: str) -> list[str]:
    """Split a requirements.txt into its entries, each with the lines that continue it."""
    found: list[str] = []
    for line in lock.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line.startswith((" ", "\t")) and found:
            found[-1] += f"\n{line}"
        else:
            found.append(line)
    return found


def _canonical(entry: str) -> str:
    match = _NAME.match(entry)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""


def _shown(line: str) -> str:
    plain = line.rstrip("\\ ").partition(" ;")[0]
    name, at, url = plain.partition(" @ ")
    return f"{name} @ {url.rpartition('/')[2]}" if at else plain
