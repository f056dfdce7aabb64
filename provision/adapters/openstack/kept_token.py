"""Keystone's token, kept between commands: a login takes longer than any other request.

The plugin's own state (keystoneauth's get_auth_state) is in a file of mode 0600, under the hash that keystoneauth makes
of everything that the login is made from: address, user, secret and project. openstacksdk can do the same with the
system's keyring (`cache: {auth: true}` in clouds.yaml), which servers without a desktop do not have; where that is
chosen and works, nothing is kept here.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from provision.adapters.host.files import ensure_private
from provision.base import paths

if TYPE_CHECKING:
    from pathlib import Path

    from keystoneauth1.plugin import BaseAuthPlugin

LEAST_LIFE: Final = 180
"""Seconds that a kept token has to be valid: one that ends within a short command costs more than it saves."""


class KeptToken:
    """The token of one login, in memory (in `auth`) and in its file."""

    def __init__(self, auth: BaseAuthPlugin | None) -> None:
        """`auth` is keystoneauth's plugin; of one that cannot say what its login is made from, nothing is kept."""
        self._auth: Any = auth
        identity = auth.get_cache_id() if auth and hasattr(auth, "auth_ref") else None
        kind = f"{type(auth).__module__}.{type(auth).__qualname__}"
        name = hashlib.sha256(f"{kind} {identity}".encode()).hexdigest()
        self._file = _folder() / f"{name}.json" if identity else None
        self._seen: object = None
        """What the plugin held when its file was read or written last."""

    def load(self) -> bool:
        """Give the plugin the token that was kept; return whether there is one that is good for a while."""
        if self._file is None:
            return False
        try:
            self._auth.set_auth_state(_read(self._file))
            if not self._auth.auth_ref.will_expire_soon(LEAST_LIFE):
                self._seen = self._auth.auth_ref
                return True
        except FileNotFoundError:
            return False
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            pass  # not ours, or not what was written: as if there were none
        self.discard()
        return False

    def keep(self) -> None:
        """Write the plugin's token if it is new; without a place for it, the next command logs in again."""
        held = self._auth.auth_ref if self._file else None
        if self._file is None or not held or held is self._seen:
            return
        self._seen = held
        with suppress(OSError):
            _remove_expired()
            ensure_private(self._file, self._auth.get_auth_state())

    def forget(self) -> None:
        """Remove the file: the cloud has refused the token, or what it says of the cloud is no longer so."""
        self._seen = None
        if self._file:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)

    def discard(self) -> None:
        """Forget the token, in memory too: the next question logs in."""
        self.forget()
        self._auth.invalidate()


def forget_all() -> None:
    """Remove what is kept of every login, of any cloud: the next command logs in again."""
    shutil.rmtree(_folder(), ignore_errors=True)


def _folder() -> Path:
    return paths.state_dir() / "tokens"


def _read(file: Path) -> str:
    """Read a file that this user alone can have written. Raises OSError for any other."""
    handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(handle) as opened:
        status = os.fstat(handle)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise PermissionError(f"{file} is open to others")
        return opened.read()


def _remove_expired() -> None:
    """Remove tokens whose time is over, of whatever login."""
    for file in _folder().glob("*.json"):
        try:
            ends = datetime.fromisoformat(json.loads(file.read_text())["body"]["token"]["expires_at"])
        except (OSError, ValueError, LookupError, TypeError):
            continue
        if ends < datetime.now(UTC):
            file.unlink(missing_ok=True)
