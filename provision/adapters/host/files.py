"""Private files, which are written completely or not at all, and locks between processes."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.base.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def exclusive_lock(lock: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `lock`; `waiting` is called once if another process holds it and has to be waited for."""
    waited = False
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with lock.open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not waited:
                    waiting()
                waited = True
                fcntl.flock(handle, fcntl.LOCK_EX)
            # Who held it may have removed it with its folder: others hold the one that was made since.
            if _is_at(lock, handle.fileno()):
                yield
                return


def _is_at(path: Path, handle: int) -> bool:
    """Whether an open file is the one at `path`."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def read_json(path: Path, hint: str = "Restore it from a backup.") -> dict[str, Any]:
    """Read a JSON object that is kept; empty where there is no file. Raises ProvisionError with `hint` for any other.

    What is in the file is not repeated: it may be a password.
    """
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        why = error.reason if isinstance(error, UnicodeDecodeError) else str(error)
        raise ProvisionError(f"{path} is not JSON: {why}", hint) from None
    if not isinstance(kept, dict):
        raise ProvisionError(f"{path} does not hold a JSON object, as it was written", hint)
    return kept


def ensure_private(path: Path, text: str) -> bool:
    """Have `path` contain `text`, with mode 0600 in folders of mode 0700; return whether anything had to change."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        if path.read_text() == text and path.stat().st_mode & 0o777 == 0o600:
            return False
    except FileNotFoundError:
        pass
    replace(path, text, 0o600)
    return True


def replace(path: Path, text: str, mode: int) -> None:
    """Replace the file at `path` in one step: a reader sees the old content or the new, never a part."""
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
