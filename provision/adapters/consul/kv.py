"""Consul's keys: what members of a cluster tell each other, and the lock that one of them holds.

A key that is held is deleted when its holder's session ends, so nothing that a dead member wrote outlives it for long.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from provision.adapters.consul.http import ConsulClient, ConsulRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

Operation = dict[str, Any]
"""One step of `commit`: a condition or a change."""


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key's value, the session that holds it (empty: none does), and an index that changes whenever the key does."""

    value: str
    session: str
    index: int


def unchanged(key: str, entry: KeyEntry | None) -> Operation:
    """Return a condition for `commit`: the key is as it was read, or (None) still does not exist."""
    if entry is None:
        return {"Verb": "check-not-exists", "Key": key}
    return {"Verb": "check-index", "Key": key, "Index": entry.index}


def held(key: str, session: str) -> Operation:
    """Return a condition for `commit`: the session holds the key."""
    return {"Verb": "check-session", "Key": key, "Session": session}


def set_key(key: str, value: str) -> Operation:
    """Return a change for `commit`: set the key."""
    return {"Verb": "set", "Key": key, "Value": _encoded(value)}


def drop_key(key: str) -> Operation:
    """Return a change for `commit`: delete the key."""
    return {"Verb": "delete", "Key": key}


class ConsulKeys:
    """One Consul agent's keys and sessions; every request takes at most `timeout` seconds.

    Methods raise ConsulUnavailableError where another try may help, ConsulRefusedError otherwise.
    """

    def __init__(self, url: str, token: str = "", timeout: float = 5) -> None:
        self._consul = ConsulClient(url, token, timeout)

    def begin_session(self, name: str, seconds: int) -> str:
        """Begin a session and return its id; it ends, with all keys that it holds, `seconds` after the last `renew`."""
        body = {"Name": name, "TTL": f"{seconds}s", "Behavior": "delete", "LockDelay": "0s"}
        return str(self._consul.request("PUT", "/v1/session/create", body).json()["ID"])

    def renew(self, session: str) -> bool:
        """Renew a session; return whether it still existed."""
        try:
            self._consul.request("PUT", f"/v1/session/renew/{session}")
        except ConsulRefusedError:
            return False
        return True

    def end_session(self, session: str) -> None:
        """End a session and delete the keys that it holds; one that has ended already is no error."""
        self._consul.request("PUT", f"/v1/session/destroy/{session}")

    def hold(self, key: str, value: str, session: str) -> bool:
        """Set a key and have the session hold it; return False when another session does.

        Raises ConsulRefusedError when there is no such session.
        """
        answer = self._consul.request("PUT", f"/v1/kv/{quote(key)}?acquire={session}", text=value)
        return bool(answer.json())

    def read(self, prefix: str) -> dict[str, KeyEntry]:
        """Return all keys that start with `prefix`, by their whole name."""
        answer = self._consul.request("GET", f"/v1/kv/{quote(prefix)}?recurse=true", missing_ok=True)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return {}
        return {
            entry["Key"]: KeyEntry(
                base64.b64decode(entry["Value"] or "").decode(), entry.get("Session", ""), entry["ModifyIndex"]
            )
            for entry in answer.json()
        }

    def commit(self, operations: Sequence[Operation]) -> bool:
        """Carry out all operations at once; return False, with nothing changed, when a condition does not hold."""
        try:
            self._consul.request("PUT", "/v1/txn", [{"KV": operation} for operation in operations])
        except ConsulRefusedError as refused:
            if refused.status == HTTPStatus.CONFLICT:
                return False
            raise
        return True


def _encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()
