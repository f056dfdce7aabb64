"""Paths of the data files, and of the files that this user's installation keeps."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
# In a checkout the data folders are beside the package, in a wheel inside it (pyproject.toml, force-include).
_DATA = _PACKAGE / "data" if (_PACKAGE / "data").is_dir() else _PACKAGE.parent

PACKAGE = _PACKAGE
TEMPLATES = _DATA / "templates"
PLAYBOOKS = _DATA / "playbooks"
COMPOSE = _DATA / "compose"
INVENTORIES = _DATA / "inventories"
EXAMPLES = _DATA / "examples"
LIVE_TESTS = _DATA / "tests" / "live"


def _home(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / default) / "provision"


def state_dir() -> Path:
    """Return the folder for state: the local cloud's secrets and configuration, and one folder for each cluster."""
    return _home("XDG_STATE_HOME", ".local/state")


def cache_dir() -> Path:
    """Return the folder for files that can be made again: baked images, downloads."""
    return _home("XDG_CACHE_HOME", ".cache")


def cluster_dir(name: str) -> Path:
    """Return the folder of a cluster's keys, certificates and first passwords (mode 0700)."""
    return state_dir() / "clusters" / name


def localcloud_dir() -> Path:
    """Return the folder of the local cloud's rendered configuration and secrets (mode 0700)."""
    return state_dir() / "local"


def files_below(folder: Path) -> list[Path]:
    """Return the files below a data folder, sorted, but for what Python has compiled beside them."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".pyc"]


def clouds_yaml() -> Path:
    """Return the path of the user's clouds.yaml, where openstacksdk looks for it."""
    named = os.environ.get("OS_CLIENT_CONFIG_FILE")
    return (
        Path(named)
        if named
        else Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "openstack" / "clouds.yaml"
    )
