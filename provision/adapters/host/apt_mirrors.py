"""This machine's apt mirrors and proxies, which image builds use too."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from provision.adapters.host.process import run
from provision.model.localcloud.image_families import AptMirrors

if TYPE_CHECKING:
    from collections.abc import Iterator

_APT = Path("/etc/apt")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def apt_mirrors(folder: Path = _APT) -> AptMirrors:
    """Return the archive and the security mirror that this machine uses; neither where it does not run Debian."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return AptMirrors()
    codename = release.get("VERSION_CODENAME", "")
    if release.get("ID") != "debian" or not codename:
        return AptMirrors()
    found: dict[str, str] = {}
    for uri, suites in _sources(folder):
        for suite in suites:
            found.setdefault(suite, uri.rstrip("/"))
    return AptMirrors(found.get(codename), found.get(f"{codename}-security"))


def _sources(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the address and the suites of every source of binary packages, in either of apt's formats."""
    for path in (folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))):
        for line in _text(path).splitlines():
            words = [word for word in _without_options(line).split() if word]
            if len(words) >= 3 and words[0] == "deb":
                yield words[1], [words[2]]
    for path in sorted((folder / "sources.list.d").glob("*.sources")):
        for stanza in _text(path).split("\n\n"):
            fields = dict(line.split(":", 1) for line in stanza.splitlines() if ":" in line and line[0] not in "# \t")
            if "deb" in fields.get("Types", "").split() and fields.get("Enabled", "yes").strip() != "no":
                for uri in fields.get("URIs", "").split():
                    yield uri, fields.get("Suites", "").split()


def _without_options(line: str) -> str:
    """Return a one-line source without its comment and its options in brackets."""
    line = line.split("#", 1)[0]
    return line[: line.index("[")] + line[line.index("]") + 1 :] if "[" in line and "]" in line else line


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def build_proxies() -> dict[str, str]:
    """Return the proxy settings of this machine, as build arguments that Docker keeps out of the images."""
    values = {name: os.environ[name] for name in _PROXIES if os.environ.get(name)}
    if "http_proxy" not in values:
        result = run(["apt-config", "shell", "PROXY", "Acquire::http::Proxy"], timeout=20)
        value = result.stdout.strip().removeprefix("PROXY=").strip("'")
        if result.ok and value and value != "DIRECT":
            values["http_proxy"] = value
    return values
