"""`[USER:]PATH`: what is meant on the cluster, and as whom it is read or written."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from provision.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PREFIX: Final = re.compile(r"([^/:]*):(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class UserPath:
    """A path on the master, and the notebook user whose rights hold for it."""

    user: str
    path: str
    """Relative to the user's home, or absolute; it ends with a slash where a folder was meant."""

    def __str__(self) -> str:
        return f"{self.user}:{self.path}"


def is_remote(text: str) -> bool:
    """Whether a word means a path on the cluster where both are possible: there is a colon before the first slash."""
    return _PREFIX.fullmatch(text) is not None


def place(text: str, users: Sequence[str], named: str = "") -> UserPath:
    """Read `[USER:]PATH`; `users` are the cluster's, `named` is the one of `--as`.

    The user is the one who is named, else whose home the path is in, else the only one. Raises UsageError.
    """
    match = _PREFIX.fullmatch(text)
    prefix, path = match.groups() if match else ("", text)
    if prefix and named and prefix != named:
        raise UsageError(f"{text}: --as says {named}, and the path says {prefix}", "Name one user.")
    path = "." if path in ("", "~") else path.removeprefix("~/")
    user = chosen_user(users, prefix or named or _home_of(path), text, f"Write {{user}}:{path}, or --as {{user}}.")
    # A slash at the end means a folder, which normpath does not keep.
    slash = "/" if path.endswith(("/", "/.")) and path.strip("/") else ""
    return UserPath(user, posixpath.normpath(path) + slash if path != "." else "./")


def chosen_user(users: Sequence[str], named: str, what: str, example: str) -> str:
    """Return the user who is named, else the only one of the cluster's.

    Without `users`, the cluster's are known to its master alone: then one has to be named, and whether there is such a
    one shows there.
    `what` is asked for, and `example` says how with `{user}` for a name. Raises UsageError.
    """
    if not users and not named:
        raise UsageError(f"{what}: as which user? Logins make them (hub.login)", example.format(user="NAME"))
    if not users:
        return named
    if not named and len(users) != 1:
        raise UsageError(f"{what}: as which user? The cluster has {', '.join(users)}", example.format(user=users[0]))
    if named and named not in users:
        raise UsageError(f"{what}: the cluster has no user {named!r}", f"It has: {', '.join(users)}.")
    return named or users[0]


def _home_of(path: str) -> str:
    """Return the user in whose home an absolute path is."""
    parts = posixpath.normpath(path).split("/")
    return parts[2] if parts[:2] == ["", "home"] and len(parts) > 2 else ""
