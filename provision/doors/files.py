"""The door to files that are nobody else's business: written whole or not at all, readable for their owner alone."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def ensure_private(path: Path, text: str) -> bool:
    """Make `path` hold `text` with mode 0600 in folders of mode 0700; return whether anything had to change."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        if path.read_text() == text and path.stat().st_mode & 0o777 == 0o600:
            return False
    except FileNotFoundError:
        pass
    replace(path, text, 0o600)
    return True


def replace(path: Path, text: str, mode: int) -> None:
    """Put a new file in the place of `path` in one step: a reader sees the old one or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
