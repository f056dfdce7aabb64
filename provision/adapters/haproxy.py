"""The door to HAProxy's page of statistics: where it sends requests, and how many are under way."""

from __future__ import annotations

import requests

from provision.model.localcloud.health import BackendServer, servers


class Proxy:
    """One HAProxy; `url` is its page of statistics."""

    def __init__(self, url: str, timeout: float = 5) -> None:
        self._url = f"{url.rstrip('/')}/;csv"
        self._timeout = timeout
        self._session = requests.Session()
        # It is this machine's own: no proxy of the environment stands between.
        self._session.trust_env = False

    def servers(self) -> tuple[BackendServer, ...] | None:
        """Return the places of every backend, or None when HAProxy does not answer."""
        try:
            answer = self._session.get(self._url, timeout=self._timeout)
        except requests.RequestException:
            return None
        return servers(answer.text) if answer.ok else None
