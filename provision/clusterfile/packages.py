"""Check `packages` (pip requirement lines and wheels) and `spark.packages` (jars, Maven coordinates), entry by entry.

What only a registry knows, as whether there is such a release, is asked by `up` before it changes anything.
"""

from __future__ import annotations

import re
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from provision.base import paths
from provision.base.constants import NODE_PLATFORM, NODE_PYTHON, NODE_SCALA
from provision.base.model import LocalWheel, PackagesSpec
from provision.clusterfile.document import Problem
from provision.clusterfile.units import Wrong

if TYPE_CHECKING:
    from collections.abc import Container, Sequence
    from collections.abc import Set as AbstractSet

    from packaging.markers import Marker

LOCK: Final = "image/python.lock"
"""The image's own Python libraries, in templates."""
_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
_COORDINATES: Final = re.compile(r"[\w.-]+(:[^:\s/]*)+(?<!\.jar)")
_SCALA: Final = re.compile(r"_(2\.\d+|3)$")
_SOURCES: Final = (".tar.gz", ".tgz", ".tar.bz2", ".zip")
_WHEEL_FIX: Final = "Bring a wheel: `pip wheel --no-deps` makes one of a source folder or archive."
_OPTIONS: Final = {
    "-r": "Write the file's lines into the list.",
    "--requirement": "Write the file's lines into the list.",
    "-c": "Write the version into the line of the package.",
    "--constraint": "Write the version into the line of the package.",
    "-e": _WHEEL_FIX,
    "--editable": _WHEEL_FIX,
}
_MACHINE_FIX: Final = (
    "Registries are this machine's own pip settings: `pip config set global.index-url URL`, for example."
)


@cache
def image_pins() -> dict[str, str]:
    """Return the versions of the image's own Python libraries, by their canonical names."""
    text = (paths.TEMPLATES / LOCK).read_text(encoding="utf-8")
    return {canonicalize_name(name): version for name, version in _PIN.findall(text)}


def read(
    requirements: Sequence[str], jars: Sequence[str], folder: Path, *, files: bool
) -> tuple[PackagesSpec, list[Problem]]:
    """Return the entries of both lists as plain data, in an order of their own, and what is wrong with them.

    Relative paths are in `folder`, the spec's own. With `files`, wheels and jars have to be there.
    """
    found: list[Problem] = []
    entries: dict[str, str | LocalWheel] = {}
    for place, text in enumerate(requirements):
        try:
            entry = requirement(text.strip(), folder)
            name = canonicalize_name(entry.name.partition("[")[0])
            _refuse_second(name, entries)
            entries[name] = entry if isinstance(entry, LocalWheel) else str(entry)
            if files and isinstance(entry, LocalWheel):
                _refuse_unreadable(entry.path)
        except Wrong as wrong:
            found.append(Problem(("packages", place), wrong.wrong, wrong.fix))
    archives: dict[str, Path] = {}
    projects: dict[str, str] = {}
    for place, text in enumerate(jars):
        try:
            if _COORDINATES.fullmatch(given := text.strip()):
                project = coordinates(given)
                _refuse_second(project, projects)
                projects[project] = given
                continue
            path = jar(given, folder)
            _refuse_second(path.name, archives)
            archives[path.name] = path
            if files:
                _refuse_unreadable(path)
        except Wrong as wrong:
            found.append(Problem(("spark", "packages", place), wrong.wrong, wrong.fix))
    ordered = [entries[name] for name in sorted(entries)]
    spec = PackagesSpec(
        tuple(entry for entry in ordered if isinstance(entry, str)),
        tuple(entry for entry in ordered if isinstance(entry, LocalWheel)),
        tuple(archives[name] for name in sorted(archives)),
        tuple(projects[name] for name in sorted(projects)),
    )
    return spec, found


def requirement(text: str, folder: Path) -> Requirement | LocalWheel:
    """Read one entry of `packages`. Raises Wrong."""
    if text.startswith("-"):
        option = re.split(r"[\s=]", text)[0]
        raise Wrong(f"{option} is an option of pip, not a package", _OPTIONS.get(option, _MACHINE_FIX))
    if not text:
        raise Wrong("it is empty", "Write a package as `requests==2.32.3`, or the path of a wheel.")
    if text.endswith(".whl") and " @ " not in text and "://" not in text:
        return _wheel(text, folder)
    # `zope.in` may be a package.
    if (
        re.fullmatch(r"\S+\.txt|(?:\S*/)?(?:requirements|constraints|pyproject)\S*\.(?:in|toml)", text)
        and "://" not in text
    ):
        raise Wrong(f"{text!r} is a file of requirements, not a package", _OPTIONS["-r"])
    if re.match(r"[a-z+]+://", text):
        # Not the text itself: errors are shown and kept, and a URL may hold a password.
        raise Wrong("it is a URL alone", "Write NAME @ URL: `demo @ https://example.org/demo-1.0-py3-none-any.whl`.")
    if text.startswith((".", "/", "~")) or text.endswith(_SOURCES):
        raise Wrong(f"{text!r} is no wheel: the nodes build nothing", _WHEEL_FIX)
    try:
        found = Requirement(text)
    except InvalidRequirement as error:
        why = str(error).splitlines()[0].rstrip(".")
        raise Wrong(
            f"{text!r} is not a requirement of pip: {why}",
            "Write a name, and a version if need be: `requests==2.32.3`, `geopandas>=1`; or the path of a wheel.",
        ) from None
    if found.url:
        return _from_url(found, folder)
    _refuse_conflict(found.name, found, text)
    return found


def jar(text: str, folder: Path) -> Path:
    """Read one entry of `spark.packages`. Raises Wrong."""
    if re.match(r"[a-z]+://", text):
        raise Wrong("it is a URL", "Fetch the jar, and write its path.")
    if not text.endswith(".jar"):
        raise Wrong(
            f"{text!r} is no jar",
            "Write the path of a file whose name ends in .jar, or Maven coordinates: group:artifact:version.",
        )
    path = folder / Path(text).expanduser()
    if any(mark in path.name for mark in ":*,;") or any(mark.isspace() for mark in path.name):
        raise Wrong(f"{path.name!r} cannot be on a class path", "Rename it: letters, digits, `.`, `-` and `_`.")
    return path


def coordinates(text: str) -> str:
    """Check an entry of `spark.packages` that is `group:artifact:version`; return `group:artifact`. Raises Wrong."""
    parts = text.split(":")
    if len(parts) != 3 or not all(re.fullmatch(r"[\w.+-]+", part) for part in parts):
        raise Wrong(
            f"{text!r} are not the Maven coordinates of one version",
            "Write group:artifact:version, as org.postgresql:postgresql:42.7.4.",
        )
    group, artifact, version = parts
    if version in ("LATEST", "RELEASE") or version.endswith("-SNAPSHOT"):
        raise Wrong(f"{version} is another file tomorrow", "Write one version: all nodes, now and later, get the same.")
    scala = _SCALA.search(artifact)
    if scala and scala[1] != NODE_SCALA:
        raise Wrong(
            f"{artifact} is for Scala {scala[1]}, and Spark is built with {NODE_SCALA}",
            f"Write {artifact.removesuffix(scala[0])}_{NODE_SCALA}, in a version that has it.",
        )
    return f"{group}:{artifact}"


def _refuse_second(name: str, known: Container[str]) -> None:
    if name in known:
        raise Wrong(f"{name} is in the list twice", "Keep one of the two.")


def _wheel(text: str, folder: Path) -> LocalWheel:
    path = folder / Path(text).expanduser()
    try:
        name, version, _, tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename:
        raise Wrong(
            f"{path.name!r} is not a wheel's name", "Keep the name that it was built with: demo-1.0-py3-none-any.whl."
        ) from None
    _refuse_foreign(path.name, tags)
    pinned = image_pins().get(name)
    if pinned is not None:
        raise Wrong(
            f"{name} {version} is in the list, and the image has {name} {pinned} of its own",
            "Remove it: the image's libraries are the same on all nodes, and are not replaced.",
        )
    return LocalWheel(name, path)


def _from_url(found: Requirement, folder: Path) -> Requirement | LocalWheel:
    assert found.url is not None  # noqa: S101 - the caller has looked
    parts = urlsplit(found.url)
    if parts.username or parts.password or "@" in parts.netloc:
        raise Wrong(
            "its URL holds credentials", "Put them into ~/.netrc or this machine's keyring, and not into a spec."
        )
    if parts.scheme in ("", "file"):
        wheel = _wheel(parts.path if parts.path.endswith(".whl") else f"{parts.path}/", folder)
        if canonicalize_name(found.name) != wheel.name:
            raise Wrong(f"{wheel.path.name} is the wheel of {wheel.name}, not of {found.name}", "Write the path alone.")
        extras = f"[{','.join(sorted(found.extras))}]" if found.extras else ""
        return LocalWheel(wheel.name + extras, wheel.path)
    if parts.scheme != "https":
        raise Wrong(f"{found.url} is not fetched by https", f"Name an https URL. {_WHEEL_FIX}")
    if not parts.path.endswith(".whl"):
        raise Wrong(f"{found.url} is no wheel: the nodes build nothing", _WHEEL_FIX)
    _wheel(Path(parts.path).name, folder)
    return found


def _refuse_conflict(name: str, found: Requirement, text: str) -> None:
    """Refuse a version that the image contradicts; a line whose marker is not true on the nodes asks for nothing."""
    pinned = image_pins().get(canonicalize_name(name))
    if pinned is None or not _applies(found.marker):
        return
    if not found.specifier.contains(Version(pinned), prereleases=True):
        raise Wrong(
            f"{text!r} does not take {name} {pinned}, which the image has",
            f"Remove it, or write {name}=={pinned}: the image's libraries are the same on all nodes, and are not "
            "replaced.",
        )


def _applies(marker: Marker | None) -> bool:
    if marker is None:
        return True
    # What is not named here is as on this machine.
    node: dict[str, str | AbstractSet[str]] = {
        "python_version": NODE_PYTHON,
        "python_full_version": f"{NODE_PYTHON}.0",
        "implementation_name": "cpython",
        "implementation_version": f"{NODE_PYTHON}.0",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "extra": "",
    }
    return marker.evaluate(node)


def _refuse_foreign(name: str, tags: frozenset[Tag]) -> None:
    if not tags & _node_tags():
        listed = ", ".join(sorted(str(tag) for tag in tags))
        raise Wrong(
            f"{name} is for other machines ({listed})",
            f"Build or fetch it for CPython {NODE_PYTHON} on Linux x86_64 ({NODE_PLATFORM} or older).",
        )


@cache
def _node_tags() -> frozenset[Tag]:
    major, minor = (int(part) for part in NODE_PYTHON.split("."))
    newest = int(NODE_PLATFORM.split("_")[2])
    old = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(newest, 4, -1)]
    platforms += [f"{name}_x86_64" for name in old.values()] + ["linux_x86_64"]
    return frozenset(
        [
            *cpython_tags((major, minor), platforms=platforms),
            *compatible_tags((major, minor), interpreter=f"cp{major}{minor}", platforms=platforms),
        ]
    )


def _refuse_unreadable(path: Path) -> None:
    try:
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                return
    except OSError as error:
        raise Wrong(
            f"{path} cannot be read: {error.strerror or error}",
            "Name a file that you may read; in a spec, paths are relative to its folder.",
        ) from None
    raise Wrong(f"{path} is damaged: it is not a zip archive, as wheels and jars are", "Build or fetch it again.")
