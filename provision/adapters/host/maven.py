"""Maven repositories: resolves coordinates with all that they need, and fetches the jars; no Java is needed here.

Repositories are those of this machine's own Maven settings: a mirror of Maven Central, and the repositories of active
profiles. Without any it is Maven Central.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from xml.etree import ElementTree

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from provision.base import paths
from provision.base.constants import NODE_SCALA
from provision.base.errors import ProvisionError, UsageError
from provision.model.packages import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jgo.maven import Artifact, Resolver

CENTRAL: Final = "https://repo1.maven.org/maven2"
TIMEOUT: Final = 60
"""Seconds without a byte from a repository."""
RETRIES: Final = 3
"""Of a request that a repository could not answer just now."""
# What Spark itself leaves out (core/…/MavenUtils.scala, IVY_DEFAULT_EXCLUDES): its own classes are on every node.
_SPARK: Final = (
    "catalyst", "common-utils", "connect", "core", "graphx", "kvstore", "launcher", "mllib", "mllib-local",
    "network-common", "network-shuffle", "repl", "sketch", "sql", "sql-api", "streaming", "tags", "unsafe", "variant",
)  # fmt: skip
_SCALA_LIBRARIES: Final = ("scala-library", "scala-reflect", "scala-compiler")
_SHA1: Final = re.compile(r"[0-9a-fA-F]{40}")
_AGAIN: Final = "Nothing was changed. Run it again when the repository answers; Maven's settings say where it is."


def fetch(coordinates: Sequence[str], target: Path) -> None:
    """Put the jars of `coordinates` (group:artifact:version) and of all that they need into the folder `target`.

    Raises UsageError for what no repository has, and ProvisionError when a repository does not answer, or gives
    something else than it says.
    """
    from jgo.maven import MavenContext

    # What it warns of is either an error here, or of no use to who reads it.
    logging.getLogger("jgo").setLevel(logging.ERROR)
    remotes = {str(place): url for place, url in enumerate(repositories())}
    cache = paths.cache_dir() / "maven"
    context = MavenContext(resolver=_resolver(), repo_cache=cache, local_repos=[], remote_repos=remotes)
    left_out = [
        *(context.project("org.apache.spark", f"spark-{name}_{NODE_SCALA}") for name in _SPARK),
        *(context.project("org.scala-lang", name) for name in _SCALA_LIBRARIES),
    ]
    try:
        asked = [context.create_dependency(each, exclusions=left_out) for each in coordinates]
        inputs, needed = context.resolver.resolve(asked)
        found = {str(each.artifact): each.artifact for each in (*inputs, *needed) if _is_of_run_time(each)}
        for artifact in found.values():
            _copy(artifact, target)
    except requests.RequestException as error:
        raise ProvisionError("a Maven repository does not answer", _AGAIN, without_credentials(str(error))) from None
    except (RuntimeError, ValueError, KeyError, ElementTree.ParseError) as error:
        # jgo's own, for a POM that contradicts itself or is none.
        raise UsageError(
            f"spark.packages: {', '.join(coordinates)} cannot be resolved: {error}",
            "Nothing was changed. Fetch the jars by another tool, and write their paths.",
        ) from None


def repositories() -> list[str]:
    """Return the URLs of the repositories that this machine's Maven settings name, Maven Central or its mirror last.

    Raises UsageError for settings that are no XML.
    """
    installation = os.environ.get("MAVEN_HOME")
    settings = [
        Path.home() / ".m2" / "settings.xml",
        (Path(installation) / "conf" if installation else Path("/etc/maven")) / "settings.xml",
    ]
    roots = [root for file in settings if (root := _xml(file)) is not None]
    found: dict[str, str] = {}
    mirrors: list[tuple[str, str]] = []
    for root in roots:
        active = {each.text for each in root.iterfind("./{*}activeProfiles/{*}activeProfile")}
        for profile in root.iterfind("./{*}profiles/{*}profile"):
            default = profile.findtext("./{*}activation/{*}activeByDefault") == "true"
            if default or profile.findtext("./{*}id") in active:
                for each in profile.iterfind("./{*}repositories/{*}repository"):
                    url = _text(each, "url")
                    found.setdefault(_text(each, "id") or url, url)
        # A blocked one is no place to fetch anything from: Maven's own settings have one, against http.
        mirrors += [
            (_text(mirror, "mirrorOf"), _text(mirror, "url"))
            for mirror in root.iterfind("./{*}mirrors/{*}mirror")
            if _text(mirror, "blocked") != "true"
        ]
    central = found.pop("central", CENTRAL)
    places = [(name, url) for name, url in (*found.items(), ("central", central)) if url]
    return list(dict.fromkeys(_mirrored(name, url, mirrors).rstrip("/") for name, url in places))


def _text(element: ElementTree.Element, name: str) -> str:
    return (element.findtext(f"./{{*}}{name}") or "").strip()


def _mirrored(name: str, url: str, mirrors: Sequence[tuple[str, str]]) -> str:
    """Return where a repository is to be read: at its mirror, if there is one. One that names it alone comes first."""
    chosen = [place for of, place in mirrors if of == name] or [place for of, place in mirrors if _fits(of, name, url)]
    return chosen[0] if chosen else url


def _fits(of: str, name: str, url: str) -> bool:
    """Whether a mirror is one of a repository: `*,!ours` is of all but ours (Maven's DefaultMirrorSelector)."""
    parts = urlsplit(url)
    external = parts.scheme != "file" and parts.hostname not in ("localhost", "127.0.0.1")
    fits = False
    for each in map(str.strip, of.split(",")):
        if each in (name, f"!{name}"):
            return each == name
        fits |= each == "*" or (each == "external:*" and external)
        fits |= each == "external:http:*" and external and parts.scheme == "http"
    return fits


def _xml(file: Path) -> ElementTree.Element | None:
    try:
        return ElementTree.parse(file).getroot()  # noqa: S314 - the user's own file
    except FileNotFoundError:
        return None
    except (OSError, ElementTree.ParseError) as error:
        raise UsageError(f"{file} cannot be read: {error}", "Correct Maven's settings, or move them away.") from None


def _is_of_run_time(dependency: Any) -> bool:  # noqa: ANN401 - jgo's Dependency
    return dependency.type == "jar" and dependency.scope in ("compile", "runtime", "", None)


def _named(artifact: Artifact) -> str:
    return f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"


def _copy(artifact: Artifact, target: Path) -> None:
    place = target / artifact.filename
    if place.exists():
        raise UsageError(
            f"spark.packages: two jars are called {artifact.filename}",
            f"Nothing was changed. One is of {_named(artifact)}: leave out what needs it, or the other.",
        )
    shutil.copyfile(artifact.resolve(), place)


def _resolver() -> Resolver:
    from jgo.maven import PythonResolver

    session = requests.Session()
    again = Retry(RETRIES, backoff_factor=1, status_forcelist=(429, 500, 502, 503, 504), raise_on_status=False)
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=again))

    class Checked(PythonResolver):
        """Takes a file for what it is only when its repository's own hash says so; jgo only warns."""

        def download(self, artifact: Artifact) -> Path:
            where = f"{artifact.component.path_prefix.as_posix()}/{artifact.filename}"
            urls = artifact.context.remote_repos.values()
            for url in urls:
                with session.get(f"{url}/{where}", timeout=TIMEOUT, stream=True) as answer:
                    if answer.status_code in (requests.codes.not_found, requests.codes.gone):
                        continue
                    answer.raise_for_status()
                    return _keep(artifact, answer.iter_content(1 << 20), _sha1(session, f"{url}/{where}"))
            raise UsageError(
                f"spark.packages: no repository has {_named(artifact)}",
                f"Nothing was changed. Correct the coordinates, or the repositories in Maven's settings "
                f"(~/.m2/settings.xml): {without_credentials(', '.join(urls))}.",
            )

    return Checked()


def _sha1(session: requests.Session, url: str) -> str:
    answer = session.get(f"{url}.sha1", timeout=TIMEOUT)
    if answer.status_code == requests.codes.not_found:
        raise ProvisionError(
            f"{without_credentials(url)} has no .sha1 beside it, so it cannot be checked",
            "Nothing was changed. Fetch the jar by another tool, and write its path.",
        )
    answer.raise_for_status()
    sha1 = _hash_in(answer.text)
    if not sha1:
        said = repr(" ".join(answer.text[:200].split())[:60]) if answer.text.strip() else "nothing"
        raise ProvisionError(
            f"{without_credentials(url)}.sha1 answers with something that is no hash: {said}",
            "Nothing was changed. Look at that address: a proxy or a login page may answer in the repository's place.",
        )
    return sha1


def _hash_in(text: str) -> str:
    """Return the hash in a .sha1 file: alone, before or after the file's name, or in groups of four digits.

    All of these are in repositories: `HASH`, `HASH  FILE`, `FILE HASH`, `SHA1(FILE)= HASH`, `FILE: EBCE 8C6D …`.
    """
    words = text.split()
    groups = "".join(re.split(r"[=:]", text)[-1].split())
    found = (each.lower() for each in (*words[:1], *words[-1:], groups) if _SHA1.fullmatch(each))
    return next(found, "")


def _keep(artifact: Artifact, content: Iterable[bytes], sha1: str) -> Path:
    place = artifact.cached_path
    assert place is not None  # noqa: S101 - the context has a cache
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f"{place.name}.{os.getpid()}.part")
    seen = hashlib.sha1(usedforsecurity=False)
    with part.open("wb") as file:
        for piece in content:
            seen.update(piece)
            file.write(piece)
    if seen.hexdigest() != sha1:
        part.unlink()
        raise ProvisionError(f"{_named(artifact)} is damaged: its repository's hash is another", _AGAIN)
    return part.rename(place)
