"""The door to Consul's keys: what members of a cluster tell each other, and the lock that one of them holds.

A key that is held goes with its holder's session, so nothing that a dead member said outlives it for long.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import requests

from provision.adapters.consul.catalogue import CatalogueAwayError, RefusedError
from provision.model.registrator.services import CONTAINER_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

Operation = dict[str, Any]
"""One step of `commit`."""
_CONFLICT: Final = 409


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key's value, the session that holds it (or an empty text), and a number that changes whenever it does."""

    value: str
    session: str
    index: int


def unchanged(key: str, entry: KeyEntry | None) -> Operation:
    """Make a commit depend on a key being as it was read, or still not there."""
    if entry is None:
        return {"Verb": "check-not-exists", "Key": key}
    return {"Verb": "check-index", "Key": key, "Index": entry.index}


def held(key: str, session: str) -> Operation:
    """Make a commit depend on a key being held by a session."""
    return {"Verb": "check-session", "Key": key, "Session": session}


def set_key(key: str, value: str) -> Operation:
    """Set a key in a commit."""
    return {"Verb": "set", "Key": key, "Value": _encoded(value)}


def drop_key(key: str) -> Operation:
    """Remove a key in a commit."""
    return {"Verb": "delete", "Key": key}


class ConsulKeys:
    """One Consul agent's keys, sessions and healthy services; every call is bounded by `timeout` seconds."""

    def __init__(self, url: str, token: str = "", timeout: float = 5) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._http = requests.Session()
        # Consul is a neighbour: no proxy of the environment stands between.
        self._http.trust_env = False
        if token:
            self._http.headers["X-Consul-Token"] = token

    def begin_session(self, name: str, seconds: int) -> str:
        """Begin a session that ends when nobody renews it for so long, and whatever it holds with it."""
        body = {"Name": name, "TTL": f"{seconds}s", "Behavior": "delete", "LockDelay": "0s"}
        return str(self._call("PUT", "/v1/session/create", body).json()["ID"])

    def renew(self, session: str) -> bool:
        """Keep a session; return whether it still was."""
        try:
            self._call("PUT", f"/v1/session/renew/{session}")
        except RefusedError:
            return False
        return True

    def end_session(self, session: str) -> None:
        """End a session and remove all that it holds; one that has ended already is no error."""
        self._call("PUT", f"/v1/session/destroy/{session}")

    def hold(self, key: str, value: str, session: str) -> bool:
        """Set a key that goes with the session; return False when another holds it.

        Raises RefusedError when there is no such session.
        """
        answer = self._call("PUT", f"/v1/kv/{quote(key)}?acquire={session}", text=value)
        return bool(answer.json())

    def read(self, prefix: str) -> dict[str, KeyEntry]:
        """Return every key below `prefix` by its whole name."""
        answer = self._call("GET", f"/v1/kv/{quote(prefix)}?recurse=true", missing=True)
        if answer.status_code == requests.codes.not_found:
            return {}
        return {
            each["Key"]: KeyEntry(
                base64.b64decode(each["Value"] or "").decode(), each.get("Session", ""), each["ModifyIndex"]
            )
            for each in answer.json()
        }

    def commit(self, operations: Sequence[Operation]) -> bool:
        """Do all of this at once, or nothing when one of its conditions does not hold."""
        try:
            self._call("PUT", "/v1/txn", [{"KV": each} for each in operations])
        except RefusedError as refused:
            if refused.detail.startswith(str(_CONFLICT)):
                return False
            raise
        return True

    def passing(self, service: str) -> dict[str, str]:
        """Return the addresses of a service's healthy instances by their ids."""
        found = self._call("GET", f"/v1/health/service/{service}?passing=true").json()
        return {each["Service"]["ID"]: each["Service"]["Address"] for each in found}

    def containers(self, service: str) -> set[str]:
        """Return the containers (the first digits of their ids) of a service's healthy instances."""
        found = self._call("GET", f"/v1/health/service/{service}?passing=true").json()
        return {each["Service"]["Meta"].get(CONTAINER_KEY, "") for each in found}

    def heartbeat(self, service_id: str, status: str, output: str) -> None:
        """Report the status of a service whose check is a TTL; raises RefusedError when Consul has no such check."""
        check = quote(f"service:{service_id}", safe="")
        self._call("PUT", f"/v1/agent/check/update/{check}", {"Status": status, "Output": output})

    def _call(
        self, method: str, path: str, body: object = None, *, text: str | None = None, missing: bool = False
    ) -> requests.Response:
        try:
            answer = self._http.request(
                method, self._url + path, json=body, data=text.encode() if text else None, timeout=self._timeout
            )
        except requests.RequestException as error:
            raise CatalogueAwayError(f"Consul at {self._url} does not answer: {error}") from error
        if answer.ok or (missing and answer.status_code == requests.codes.not_found):
            return answer
        reason = answer.text.strip()
        # A server without a leader answers 500, as it does for much else.
        if "leader" in reason or answer.status_code in (502, 503, 504):
            raise CatalogueAwayError(f"Consul at {self._url} is not ready: {reason}")
        detail = f"{answer.status_code} {reason}"
        raise RefusedError(f"Consul refuses {method} {path.partition('?')[0]}: {reason}", detail=detail)


def _encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()
