"""HAProxy's statistics page: the servers of each backend, and how many requests are under way."""

from __future__ import annotations

import requests

from provision.base.errors import ProvisionError
from provision.model.localcloud.health import BackendServer, servers


class HAProxy:
    """One HAProxy, whose statistics page is at `url`; a request may take `timeout` seconds."""

    def __init__(self, url: str, timeout: float = 5) -> None:
        self._url = f"{url.rstrip('/')}/;csv"
        self._timeout = timeout
        self._session = requests.Session()
        # It runs on this machine: a proxy named in the environment must not be asked.
        self._session.trust_env = False

    def statistics(self) -> str:
        """Return the statistics as CSV; raises ProvisionError when HAProxy does not answer."""
        try:
            answer = self._session.get(self._url, timeout=self._timeout)
            answer.raise_for_status()
        except requests.RequestException as error:
            raise ProvisionError("HAProxy does not answer", detail=str(error)) from error
        return answer.text

    def servers(self) -> tuple[BackendServer, ...] | None:
        """Return the servers of every backend; None when HAProxy does not answer."""
        try:
            return servers(self.statistics())
        except ProvisionError:
            return None
