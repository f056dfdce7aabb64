"""This machine's apt mirrors and proxies, which image builds use too."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provision.adapters.host.process import run
from provision.model.localcloud.image_families import AptMirrors

if TYPE_CHECKING:
    from collections.abc import Iterator

_APT = Path("/etc/apt")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_HTTP: Final = ("http://", "https://")
_LIST: Final = "mirror+file:"
_DIRECT: Final = "DIRECT"
_PROXY: Final = re.compile(r'^Acquire::(https?)::Proxy((?:::[^\s":]+)?) "([^"]+)";$', re.MULTILINE | re.IGNORECASE)
"""apt's proxy for a scheme, or for one host, in what `apt-config dump` prints, in whatever letters."""


def apt_mirrors(folder: Path = _APT) -> AptMirrors:
    """Return the archive and the security mirror that this machine uses; neither where it does not run Debian."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return AptMirrors()
    codename = release.get("VERSION_CODENAME", "")
    if release.get("ID") != "debian" or not codename:
        return AptMirrors()
    found: dict[str, set[str]] = {}
    for uri, suites in _sources(folder):
        if reachable := _over_http(uri):
            found.setdefault(reachable.rstrip("/"), set()).update(suites)
    # Vendors name suites of their own as Debian's, with a component `main` too, but have no updates of a release.
    archives = (uri for uri in found if codename in found[uri])
    archive = max(archives, key=lambda uri: f"{codename}-updates" in found[uri], default=None)
    return AptMirrors(archive, next((uri for uri in found if f"{codename}-security" in found[uri]), None))


def _sources(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the address and the suites of every source of `main`'s binary packages, in either of apt's formats."""
    for path in (folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))):
        for line in _text(path).splitlines():
            words = [word for word in _without_options(line).split() if word]
            if words[:1] == ["deb"] and "main" in words[3:]:
                yield words[1], [words[2]]
    for path in sorted((folder / "sources.list.d").glob("*.sources")):
        for stanza in _text(path).split("\n\n"):
            lines = [line for line in stanza.splitlines() if not line.startswith("#")]
            # A value may go on in lines that begin with a space.
            lines = re.sub(r"\n[ \t]", " ", "\n".join(lines)).splitlines()
            fields = dict(line.split(":", 1) for line in lines if ":" in line)
            wanted = {"Types": "deb", "Components": "main"}
            if fields.get("Enabled", "yes").strip() != "no" and all(
                word in fields.get(name, "").split() for name, word in wanted.items()
            ):
                for uri in fields.get("URIs", "").split():
                    yield uri, fields.get("Suites", "").split()


def _over_http(uri: str) -> str:
    """Return the address of a source that others can use as well; empty for a disc, a folder, Tor and the like."""
    if uri.startswith(_LIST):
        # Debian's cloud images name their mirrors in files, the preferred one first.
        lines = _text(Path("/", uri.removeprefix(_LIST).lstrip("/"))).splitlines()
        uri = next((word for line in lines for word in line.split()[:1] if word.startswith(_HTTP)), "")
    return uri if uri.startswith(_HTTP) else ""


def _without_options(line: str) -> str:
    """Return a one-line source without its comment and its options in brackets."""
    line = line.split("#", 1)[0]
    return line[: line.index("[")] + line[line.index("]") + 1 :] if "[" in line and "]" in line else line


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def apt_proxies() -> dict[str, str]:
    """Return the proxies of apt's own configuration, by their names there: also those for single hosts."""
    found = _PROXY.findall(run(["apt-config", "dump"], timeout=20).stdout)
    return {f"{_name(scheme)}{host}": value for scheme, host, value in found}


def _name(scheme: str) -> str:
    return f"Acquire::{scheme.lower()}::Proxy"


def build_proxies() -> dict[str, str]:
    """Return the proxy settings of this machine, as build arguments that Docker keeps out of the images."""
    values = {name: os.environ[name] for name in _PROXIES if os.environ.get(name)}
    found = apt_proxies()
    http = found.get(_name("http"), _DIRECT)
    # As apt itself does, which takes that of http where it has none for https.
    for name, value in (("http_proxy", http), ("https_proxy", found.get(_name("https"), http))):
        if value != _DIRECT:
            values.setdefault(name, value)
    direct = [name.rpartition("::")[2] for name, value in found.items() if value == _DIRECT and name.count("::") > 2]
    if values and direct:
        before = values.get("no_proxy") or values.get("NO_PROXY")
        hosts = ",".join(dict.fromkeys([*([before] if before else []), *direct]))
        values |= {"no_proxy": hosts, "NO_PROXY": hosts}
    return values
