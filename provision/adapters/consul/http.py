"""Requests to one Consul agent, and their failures: not available for now, or refused."""

from __future__ import annotations

from typing import Final

import requests

from provision.base.errors import ProvisionError

_NOT_READY: Final = ("leader", "ACL not found", "legacy mode")
"""Parts of a reason that will pass: there is no leader, or it does not know our token or access rules yet."""


class ConsulUnavailableError(ProvisionError):
    """Consul does not answer, or is not ready: worth trying again."""


class ConsulRefusedError(ProvisionError):
    """Consul refuses a request; `detail` is its reason, `status` the HTTP status."""

    def __init__(self, message: str, detail: str = "", status: int = 0) -> None:
        super().__init__(message, detail=detail)
        self.status = status


class ConsulClient:
    """One Consul agent's HTTP API; every request takes at most `timeout` seconds."""

    def __init__(self, url: str, token: str = "", timeout: float = 5) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        # The agent is on this host or next to it: a proxy named in the environment must not be asked.
        self._session.trust_env = False
        if token:
            self._session.headers["X-Consul-Token"] = token

    def request(
        self, method: str, path: str, body: object = None, *, text: str | None = None, missing_ok: bool = False
    ) -> requests.Response:
        """Send a request, with `body` as JSON or with a plain `text`, and return the answer.

        With `missing_ok` a 404 is an answer too. Raises ConsulUnavailableError where another try may help,
        ConsulRefusedError otherwise.
        """
        data = text.encode() if text else None
        try:
            answer = self._session.request(method, self._url + path, json=body, data=data, timeout=self._timeout)
        except requests.RequestException as error:
            raise ConsulUnavailableError(f"Consul at {self._url} does not answer: {error}") from error
        if answer.ok or (missing_ok and answer.status_code == requests.codes.not_found):
            return answer
        # A server without a leader answers 500, and so does a 1.8 agent that does not know a check.
        reason = answer.text.strip()
        if any(part in reason for part in _NOT_READY) or answer.status_code in (502, 503, 504):
            raise ConsulUnavailableError(f"Consul at {self._url} is not ready: {reason}")
        endpoint = path.partition("?")[0]
        raise ConsulRefusedError(f"Consul refuses {method} {endpoint}: {reason}", reason, answer.status_code)
