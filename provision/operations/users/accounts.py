"""`provision users list` and `passwd`: the accounts on a live master, and their passwords."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from provision.adapters.cluster_dir import crypt
from provision.adapters.onnode import users as onnode
from provision.base.constants import HUB_ADMIN_GROUP, HUB_GROUP, NODE, PORTS
from provision.base.errors import ProvisionError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.adapters.cluster_dir import ClusterDir
    from provision.adapters.remote import Remote
    from provision.base.model import User

PASSWORD_LEAST: Final = 8
"""Letters of a password; the Hub's page asks for as many (templates/image/files, notebook_passwords.py)."""
PASSWORD_MOST: Final = 128
_NO_USER: Final = 3
"""Exit code of the program on the master for a user who has no account."""


@dataclass(frozen=True, slots=True)
class Account:
    """A notebook user of the spec, of the master, or of both."""

    name: str
    admin: bool
    groups: tuple[str, ...]
    in_spec: bool
    on_master: bool
    password: str
    """`ok`, `locked`, `must_change`; empty without an account."""
    server: str
    """`running`, `spawn` or `stop` while it starts or stops; empty without one."""
    last_activity: str | None
    """ISO 8601; None if the Hub knows of none."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All users."""

    accounts: tuple[Account, ...]
    problem: str
    """Why the Hub could not be asked; empty if it was."""


def list_accounts(remote: Remote, users: Sequence[User]) -> Listing:
    """Return the users of the spec and those of the master, by name. Raises ProvisionError if it cannot be reached."""
    api = f"http://127.0.0.1:{PORTS.hub_api}/hub/api"
    said = json.loads(_ask(remote, do="list", api=api, token=f"{NODE.hub_state}/operator.token"))
    there = {each["name"]: each for each in said["accounts"]}
    hub = {each["name"]: each for each in said["hub"]}
    wanted = {user.name: user for user in users}
    found = []
    for name in sorted({*there, *wanted}):
        account: dict[str, Any] = there.get(name, {})
        user = wanted.get(name)
        seen: dict[str, Any] = hub.get(name, {})
        found.append(
            Account(
                name=name,
                admin=account["admin"] if account else bool(user and user.admin),
                groups=tuple(account["groups"]) if account else user.groups if user else (),
                in_spec=user is not None,
                on_master=bool(account),
                password=account.get("password", ""),
                server=seen.get("server", ""),
                last_activity=seen.get("last_activity"),
            )
        )
    return Listing(tuple(found), said["problem"])


def refuse_weak(user: str, password: str) -> None:
    """Raise UsageError for a password that is too easy, or that a login form cannot send."""
    if not PASSWORD_LEAST <= len(password) <= PASSWORD_MOST:
        raise UsageError(
            f"the password has {len(password)} letters",
            f"Use {PASSWORD_LEAST} to {PASSWORD_MOST}; nothing was changed.",
        )
    if not password.isprintable():
        raise UsageError("the password has letters that cannot be typed", "Use others; nothing was changed.")
    if user in password.lower():
        raise UsageError("the password contains the user's name", "Use another; nothing was changed.")


def set_password(remote: Remote, cluster_dir: ClusterDir, user: str, password: str, *, must_change: bool) -> None:
    """Set the password of an account that is on the master, and note it for an account on a new one.

    Only its hash leaves this machine. Raises UsageError for a user without an account.
    """
    with cluster_dir.locked():
        hashed = crypt(password)
        _ask(remote, do="password", user=user, hash=hashed, must_change=must_change)
        cluster_dir.note_password(user, hashed)


def _ask(remote: Remote, **order: object) -> str:
    with remote.start(onnode, {"group": HUB_GROUP, "admins": HUB_ADMIN_GROUP, **order}) as piped:
        result = piped.finish()
    if result.code == _NO_USER:
        raise UsageError(
            f"the cluster has no user {order['user']!r}",
            "`provision users list` shows who is there. Nothing was changed.",
        )
    if result.code:
        raise ProvisionError(f"{remote.name} did not answer", "`provision status` shows its state.", result.stderr)
    return result.stdout
