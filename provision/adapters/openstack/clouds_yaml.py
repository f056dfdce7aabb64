"""The user's clouds.yaml: one entry is ours, everything else stays as it is, comments included.

What openstacksdk read before our entry was written, it reads afterwards, and again once the entry is gone.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from provision.adapters.host.files import replace
from provision.adapters.openstack import config
from provision.base.errors import UsageError
from provision.base.named_files import UnreadableError, read_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def require_own_entry(path: Path, name: str, user: str) -> None:
    """Raise UsageError if the file has an entry `name` that is not the one of our `user`, or cannot be changed."""
    _, document = _load(path.resolve())
    found = _clouds(document).get(name)
    if found is not None and not _is_of(found, user):
        raise UsageError(
            f"{path} has a cloud {name!r} of your own, and the local cloud needs that name; nothing was changed",
            "Give your entry another name (and `cloud:` in the spec that uses it), or set OS_CLIENT_CONFIG_FILE.",
        )


def ensure_entry(path: Path, name: str, entry: Mapping[str, Any]) -> bool:
    """Set the entry of cloud `name`; return whether the file had to change. A copy of the file before is `….before`.

    A link stays one. A new file starts with what it hides from openstacksdk. Raises UsageError for an entry of the
    user's own.
    """
    path = path.resolve()
    require_own_entry(path, name, str(entry["auth"].get("username")))
    yaml, document = _load(path)
    if not path.exists() and (hidden := _hidden_by(path)):
        yaml, document = _load(hidden)
    clouds = _clouds(document)
    if clouds.get(name) == entry and path.exists() and path.stat().st_mode & 0o077 == 0:
        return False
    clouds[name] = dict(entry)
    document["clouds"] = clouds
    _save(path, yaml, document)
    return True


def remove_entry(path: Path, name: str, user: str) -> bool:
    """Remove our entry of cloud `name`, and the file when nothing is left in it; return whether it was there."""
    linked, path = path.is_symlink(), path.resolve()
    if not path.exists():
        return False
    yaml, document = _load(path)
    clouds = _clouds(document)
    if name not in clouds or not _is_of(clouds[name], user):
        return False
    del clouds[name]
    hidden = _hidden_by(path)
    if not linked and ((not clouds and len(document) == 1) or (hidden and _load(hidden)[1] == document)):
        path.unlink()
    else:
        _save(path, yaml, document)
    path.with_name(path.name + ".before").unlink(missing_ok=True)
    return True


def _is_of(entry: object, user: str) -> bool:
    auth = entry.get("auth") if isinstance(entry, dict) else None
    return isinstance(auth, dict) and str(auth.get("username")) == user


def _clouds(document: Any) -> Any:  # noqa: ANN401
    clouds = document.get("clouds")
    return clouds if isinstance(clouds, dict) else clouds or {}


def _hidden_by(path: Path) -> Path | None:
    """Return the file that openstacksdk reads where `path` does not exist, whatever folder a command runs in."""
    others = (file for file in config.candidates() if not config.in_working_folder(file))
    return next((file for file in others if file.resolve() != path and _is_read(file)), None)


def _is_read(file: Path) -> bool:
    """Whether openstacksdk reads a file: it passes over one that is missing or broken."""
    try:
        return bool(_load(file)[1])
    except UsageError:
        return False


def _load(path: Path) -> tuple[YAML, Any]:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    try:
        text = read_bytes(path).decode() if path.exists() else ""
        document = json.loads(text) if path.suffix == ".json" and text else yaml.load(text)
    except (YAMLError, ValueError) as error:
        raise UsageError(
            f"{path} is not YAML; nothing was changed in it", "Correct the file, or move it away.", str(error)
        ) from None
    except UnreadableError as error:
        raise UsageError(f"{error}; nothing was changed in it", "Correct the file, or move it away.") from None
    if document is not None and not isinstance(document, dict):
        raise UsageError(f"{path} holds no mapping; nothing was changed in it", "Correct the file, or move it away.")
    if document and not isinstance(document.get("clouds") or {}, dict):
        raise UsageError(
            f"{path}: `clouds` holds no mapping; nothing was changed in it", "Correct the file, or move it away."
        )
    return yaml, document if document is not None else {}


def _save(path: Path, yaml: YAML, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists():
        replace(path.with_name(path.name + ".before"), path.read_text(), 0o600)
    text = io.StringIO()
    if path.suffix == ".json":
        json.dump(document, text, indent=2)
    else:
        yaml.dump(document, text)
    # For its owner alone: it contains a password now.
    replace(path, text.getvalue(), 0o600)
