"""The door to a Consul agent: the services that it holds for its host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import requests

from provision.base.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOT_YET: Final = ("leader", "ACL not found", "legacy mode")
"""In a reason: there is no leader, or there is one that has not been told of our token, or of access rules at all."""
MAINTENANCE: Final = "_service_maintenance:"
"""What the id of a check begins with that is there because its service is in maintenance."""


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
        found: dict[str, dict[str, Any]] = self.call("GET", "/v1/agent/services").json()
        return found

    def checks(self) -> dict[str, dict[str, Any]]:
        """Return the agent's checks by id: CheckID, ServiceID, Status, Output."""
        found: dict[str, dict[str, Any]] = self.call("GET", "/v1/agent/checks").json()
        return found

    def statuses(self) -> dict[str, str]:
        """Return the status of each service that has one check: `passing`, `warning` or `critical`, by service id."""
        # Maintenance is a check beside the service's own.
        own = {id_: check for id_, check in self.checks().items() if not id_.startswith(MAINTENANCE)}
        return {check["ServiceID"]: check["Status"] for check in own.values() if check.get("ServiceID")}

    def maintain(self, service_id: str, reason: str) -> None:
        """Take a service out of every answer, DNS too, though it passes its check: until it is removed."""
        id_, why = quote(service_id, safe=""), quote(reason, safe="")
        self.call("PUT", f"/v1/agent/service/maintenance/{id_}?enable=true&reason={why}")

    def states(self) -> list[dict[str, Any]]:
        """Return every check of every member: Node, ServiceID, ServiceName, Status, Output."""
        found: list[dict[str, Any]] = self.call("GET", "/v1/health/state/any").json()
        return found

    def members(self) -> list[dict[str, Any]]:
        """Return Consul's members as this one knows them: Name, Addr, Status (1: it answers)."""
        found: list[dict[str, Any]] = self.call("GET", "/v1/agent/members").json()
        return found

    def date(self) -> str:
        """Return the agent's own time, as HTTP writes it."""
        return str(self.call("GET", "/v1/status/leader").headers.get("Date", ""))

    def address(self) -> str:
        """Return the agent's own address: its host's, for ports published on every address."""
        return str(self.call("GET", "/v1/agent/self").json()["Member"]["Addr"])

    def register(self, body: Mapping[str, Any]) -> None:
        """Put a service and its checks, whatever was there under its id; raises RefusedError for one it can't do."""
        self.call("PUT", "/v1/agent/service/register?replace-existing-checks=true", body)

    def deregister(self, service_id: str) -> None:
        """Remove a service; one that is not there is no error."""
        try:
            self.call("PUT", f"/v1/agent/service/deregister/{quote(service_id, safe='')}")
        except RefusedError as refused:
            if "Unknown service" not in refused.detail:
                raise

    def heartbeat(self, service_id: str, status: str, output: str) -> None:
        """Report the status of a service whose check is a TTL; raises RefusedError when Consul has no such check."""
        check = quote(f"service:{service_id}", safe="")
        self.call("PUT", f"/v1/agent/check/update/{check}", {"Status": status, "Output": output})

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> requests.Response:
        """Ask anything; raises CatalogueAwayError where it is worth another try, RefusedError where Consul says no."""
        try:
            answer = self._session.request(method, self._url + path, json=body, timeout=self._timeout)
        except requests.RequestException as error:
            raise CatalogueAwayError(f"Consul at {self._url} does not answer: {error}") from error
        if answer.ok:
            return answer
        # A server without a leader answers 500, and so does a 1.8 agent that does not know a check.
        reason = answer.text.strip()
        if any(word in reason for word in _NOT_YET) or answer.status_code in (502, 503, 504):
            raise CatalogueAwayError(f"Consul at {self._url} is not ready: {reason}")
        raise RefusedError(f"Consul refuses {method} {path.partition('?')[0]}: {reason}", detail=reason)
