"""The user's clouds.yaml: one entry is ours, everything else stays as it is, comments included."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from provision.adapters.host.files import replace
from provision.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def ensure_entry(path: Path, name: str, entry: Mapping[str, Any]) -> bool:
    """Set the entry of cloud `name`; return whether the file had to change. A copy of the file before is `….before`."""
    yaml, document = _load(path)
    clouds = document.get("clouds")
    if not isinstance(clouds, dict):
        clouds = document["clouds"] = clouds or {}
    if clouds.get(name) == entry and path.stat().st_mode & 0o077 == 0:
        return False
    clouds[name] = dict(entry)
    _save(path, yaml, document)
    return True


def remove_entry(path: Path, name: str) -> bool:
    """Remove the entry of cloud `name`, and the file when nothing is left in it; return whether it was there."""
    if not path.exists():
        return False
    yaml, document = _load(path)
    if name not in (document.get("clouds") or {}):
        return False
    del document["clouds"][name]
    if not document["clouds"] and len(document) == 1:
        path.unlink()
    else:
        _save(path, yaml, document)
    path.with_name(path.name + ".before").unlink(missing_ok=True)
    return True


def _load(path: Path) -> tuple[YAML, Any]:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    try:
        document = yaml.load(path.read_text()) if path.exists() else None
    except YAMLError as error:
        raise UsageError(
            f"{path} is not YAML; nothing was changed in it", "Correct the file, or move it away.", str(error)
        ) from None
    if document is not None and not isinstance(document, dict):
        raise UsageError(f"{path} holds no mapping; nothing was changed in it", "Correct the file, or move it away.")
    return yaml, document if document is not None else {}


def _save(path: Path, yaml: YAML, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists():
        replace(path.with_name(path.name + ".before"), path.read_text(), 0o600)
    text = io.StringIO()
    yaml.dump(document, text)
    # For its owner alone: it contains a password now.
    replace(path, text.getvalue(), 0o600)
