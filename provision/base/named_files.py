"""Files that the user names: whatever keeps one from being read is said in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class UnreadableError(Exception):
    """A file cannot be read; its text says which one, and why."""


def read_bytes(path: Path) -> bytes:
    """Return a file's content. Raises UnreadableError."""
    try:
        if path.exists() and not path.is_file():
            # Reading a device or a pipe might never end.
            raise UnreadableError(f"{path} is {'a folder' if path.is_dir() else 'no plain file'}")
        return path.read_bytes()
    except FileNotFoundError:
        raise UnreadableError(f"{path} does not exist") from None
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        # A path that no file can have: it holds a NUL.
        raise UnreadableError(f"{str(path)!r} cannot be read: {error}") from None
