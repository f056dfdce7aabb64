"""The door to a Consul agent: the services that it holds for its host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests

from provision.base.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Mapping
from urllib.parse import quote


class CatalogueAwayError(ProvisionError):
    """Consul does not answer: it is tried again."""


class RefusedError(ProvisionError):
    """Consul answers, and says no: to this request, with its reason."""


class Catalogue:
    """One Consul agent's HTTP API; every call is bounded by `timeout` seconds."""

    def __init__(self, url: str, token: str = "", timeout: float = 5) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        # Consul is a neighbour: no proxy of the environment stands between.
        self._session.trust_env = False
        if token:
            self._session.headers["X-Consul-Token"] = token

    def services(self) -> dict[str, dict[str, Any]]:
        """Return the agent's services by id: ID, Service, Address, Port, Tags, Meta."""
        found: dict[str, dict[str, Any]] = self._call("GET", "/v1/agent/services").json()
        return found

    def statuses(self) -> dict[str, str]:
        """Return the status of each service that has one check: `passing`, `warning` or `critical`, by service id."""
        checks: dict[str, dict[str, Any]] = self._call("GET", "/v1/agent/checks").json()
        return {check["ServiceID"]: check["Status"] for check in checks.values() if check.get("ServiceID")}

    def states(self) -> list[dict[str, Any]]:
        """Return every check of every member: Node, ServiceID, ServiceName, Status, Output."""
        found: list[dict[str, Any]] = self._call("GET", "/v1/health/state/any").json()
        return found

    def members(self) -> list[dict[str, Any]]:
        """Return Consul's members as this one knows them: Name, Addr, Status (1: it answers)."""
        found: list[dict[str, Any]] = self._call("GET", "/v1/agent/members").json()
        return found

    def date(self) -> str:
        """Return the agent's own time, as HTTP writes it."""
        return str(self._call("GET", "/v1/status/leader").headers.get("Date", ""))

    def address(self) -> str:
        """Return the agent's own address: its host's, for ports published on every address."""
        return str(self._call("GET", "/v1/agent/self").json()["Member"]["Addr"])

    def register(self, body: Mapping[str, Any]) -> None:
        """Put a service and its checks, whatever was there under its id; raises RefusedError for one it can't do."""
        self._call("PUT", "/v1/agent/service/register?replace-existing-checks=true", body)

    def deregister(self, service_id: str) -> None:
        """Remove a service; one that is not there is no error."""
        try:
            self._call("PUT", f"/v1/agent/service/deregister/{quote(service_id, safe='')}")
        except RefusedError as refused:
            if "Unknown service" not in refused.detail:
                raise

    def heartbeat(self, service_id: str, status: str, output: str) -> None:
        """Report the status of a service whose check is a TTL; raises RefusedError when Consul has no such check."""
        check = quote(f"service:{service_id}", safe="")
        self._call("PUT", f"/v1/agent/check/update/{check}", {"Status": status, "Output": output})

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> requests.Response:
        try:
            answer = self._session.request(method, self._url + path, json=body, timeout=self._timeout)
        except requests.RequestException as error:
            raise CatalogueAwayError(f"Consul at {self._url} does not answer: {error}") from error
        if answer.ok:
            return answer
        # A server without a leader answers 500, and so does a 1.8 agent that does not know a check.
        reason = answer.text.strip()
        if "leader" in reason or answer.status_code in (502, 503, 504):
            raise CatalogueAwayError(f"Consul at {self._url} is not ready: {reason}")
        raise RefusedError(f"Consul refuses {method} {path.partition('?')[0]}: {reason}", detail=reason)
