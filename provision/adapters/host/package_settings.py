"""This machine's pip and npm settings, for image builds and for uv: registries, proxies, certificate authorities.

Only settings that say how to reach a registry are used; the lock files alone say what is installed.
"""

from __future__ import annotations

import configparser
import os
from dataclasses import dataclass
from pathlib import Path

from provision.adapters.host.files import ensure_private
from provision.base import paths

SYSTEM_AUTHORITIES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
)
SYSTEM_FILES = (Path("/etc/pip.conf"), Path("/usr/etc/npmrc"), Path("/usr/local/etc/npmrc"), Path("/etc/npmrc"))
_AUTHORITY_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
_PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
_YES = ("y", "yes", "t", "true", "on", "1")
"""What pip takes for yes."""
_NPM_KEYS = ("registry", "proxy", "https-proxy", "noproxy", "strict-ssl", "always-auth")


@dataclass(frozen=True, slots=True)
class PackageSettings:
    """Content of a build's files, which may hold credentials. `pip_conf` and `npmrc` refer to the authorities' file."""

    pip_conf: str
    npmrc: str
    authorities: str
    """PEM of all certificate authorities that this machine trusts; empty: the build uses its own."""
    proxies: tuple[tuple[str, str], ...]
    """Environment variables and their values, in lower and in upper case."""


def read(authorities_path: str) -> PackageSettings:
    """Read this machine's settings for a build in which the authorities' file is `authorities_path`."""
    pip = _pip()
    npm = _npm()
    trusted = _authorities(pip.pop("cert", ""), npm.pop("cafile", ""))
    if trusted:
        pip["cert"] = authorities_path
        npm["cafile"] = authorities_path
    return PackageSettings(
        pip_conf="[global]\n" + "".join(f"{key} = {value}\n" for key, value in sorted(pip.items())),
        npmrc="".join(f"{key}={value}\n" for key, value in sorted(npm.items())),
        authorities=trusted,
        proxies=_proxies(),
    )


def authorities() -> str:
    """Return the PEM of all certificate authorities that this machine trusts; empty where none are found."""
    return _authorities(_pip().get("cert", ""), _npm().get("cafile", ""))


def for_uv() -> dict[str, str]:
    """Return the environment in which uv takes Python packages from where this machine's pip does.

    uv does not read pip's configuration. What is set for uv itself wins.
    """
    pip = _pip_values()
    found = {
        "UV_DEFAULT_INDEX": pip.get("index-url", ""),
        "UV_INDEX": " ".join(pip.get("extra-index-url", "").split()),
        "UV_FIND_LINKS": ",".join(pip.get("find-links", "").split()),
        "UV_INSECURE_HOST": " ".join(pip.get("trusted-host", "").split()),
        "UV_HTTP_TIMEOUT": pip.get("timeout", ""),
        "SSL_CERT_FILE": _authorities_for_uv(pip.get("cert", "")),
        **dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), pip.get("proxy", "")),
        **dict(_proxies()),
    }
    # pip takes the best release of all registries, uv by default those of the first one that has the package at all.
    return (
        {"UV_INDEX_STRATEGY": "unsafe-best-match"}
        | {name: value for name, value in found.items() if value}
        | os.environ
    )


def without_index() -> bool:
    """Whether this machine's pip asks no registry (no-index), but takes packages from its find-links alone."""
    named_for_uv = {"UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL"} & os.environ.keys()
    return _pip_values().get("no-index", "").strip().lower() in _YES and not named_for_uv


def _pip() -> dict[str, str]:
    found = _pip_values()
    kept = {key: value for key, value in found.items() if key in _PIP_KEYS}
    for key in ("index-url", "extra-index-url"):
        # Folders of this machine do not exist in a build.
        reachable = [url for url in kept.pop(key, "").split() if url.startswith(("http://", "https://"))]
        if reachable:
            kept[key] = " ".join(reachable)
    if "trusted-host" in kept:
        kept["trusted-host"] = " ".join(kept["trusted-host"].split())
    return kept | ({"cert": found["cert"]} if found.get("cert") else {})


def _pip_values() -> dict[str, str]:
    named = os.environ.get("PIP_CONFIG_FILE")
    home = Path.home()
    system = [Path(folder) / "pip/pip.conf" for folder in os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")]
    user = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf"
    # pip's own order, later ones win: system, user, the environment's file, the environment's variables.
    shared = [path for path in SYSTEM_FILES if path.name == "pip.conf"]
    files = [*system, *shared, home / ".pip/pip.conf", user, *([Path(named)] if named else [])]
    found: dict[str, str] = {}
    for file in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(file)
        except (configparser.Error, UnicodeDecodeError, PermissionError):
            continue  # pip itself reports a broken file better than we could
        for section in ("global", "install"):
            if parser.has_section(section):
                found |= {key.replace("_", "-"): value for key, value in parser.items(section)}
    variables = {
        name[4:].lower().replace("_", "-"): value for name, value in os.environ.items() if name.startswith("PIP_")
    }
    found |= variables
    if "default-timeout" in found:
        found["timeout"] = found.pop("default-timeout")
    return found


def _npm() -> dict[str, str]:
    user = Path(os.environ.get("NPM_CONFIG_USERCONFIG") or Path.home() / ".npmrc")
    found: dict[str, str] = {}
    for file in [*(path for path in SYSTEM_FILES if path.name == "npmrc"), user]:
        try:
            lines = file.read_text().splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        for line in lines:
            key, equals, value = line.strip().partition("=")
            if equals and not key.startswith(("#", ";")):
                found[key.strip()] = os.path.expandvars(value.strip().strip('"'))
    for name, value in os.environ.items():
        if name.lower().startswith("npm_config_"):
            found[name[11:].lower().replace("_", "-")] = value
    # Including scoped registries and their credentials (`@scope:registry`, `//host/:_authToken`).
    return {key: value for key, value in found.items() if key in (*_NPM_KEYS, "cafile") or key.startswith(("@", "//"))}


def _authorities(*named: str) -> str:
    """Return what any of the settings names, and what the system trusts: a private authority is one of several."""
    system = [path for path in SYSTEM_AUTHORITIES if path.is_file()][:1]
    files = dict.fromkeys(path.resolve() for path in [*_authority_files(*named), *system])
    return "\n".join(path.read_text(errors="replace") for path in files)


def _authority_files(*named: str) -> list[Path]:
    candidates = [*(os.environ.get(name, "") for name in _AUTHORITY_VARIABLES), *named]
    # Path.expanduser raises for a user that there is not.
    expanded = [Path(os.path.expanduser(name)) for name in candidates if name]  # noqa: PTH111
    return [path for path in expanded if path.is_file()]


def _authorities_for_uv(pips: str) -> str:
    """Return a file of all authorities, as uv takes one alone; empty where no setting names any."""
    if os.environ.get("SSL_CERT_FILE") or not _authority_files(pips):
        return ""
    file = paths.cache_dir() / "authorities.pem"
    ensure_private(file, _authorities(pips))
    return str(file)


def _proxies() -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for name in _PROXY_VARIABLES:
        value = os.environ.get(name) or os.environ.get(name.upper())
        if value:
            found |= {name: value, name.upper(): value}
    return tuple(sorted(found.items()))
