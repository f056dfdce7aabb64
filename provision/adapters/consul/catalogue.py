"""Consul's catalogue: the services that an agent holds for its host, and the health of all services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from provision.adapters.consul.http import ConsulClient, ConsulRefusedError
from provision.model.registrator.services import CONTAINER_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

MAINTENANCE: Final = "_service_maintenance:"
"""Start of the id of the check that Consul adds to a service in maintenance."""


class Catalogue:
    """One Consul agent; every request takes at most `timeout` seconds.

    Methods raise ConsulUnavailableError where another try may help, ConsulRefusedError otherwise.
    """

    def __init__(self, url: str, token: str = "", timeout: float = 5) -> None:
        self._consul = ConsulClient(url, token, timeout)

    # --- the agent's own services ---

    def services(self) -> dict[str, dict[str, Any]]:
        """Return the agent's services by id: ID, Service, Address, Port, Tags, Meta."""
        found: dict[str, dict[str, Any]] = self._get("/v1/agent/services")
        return found

    def checks(self) -> dict[str, dict[str, Any]]:
        """Return the agent's checks by id: CheckID, ServiceID, Status, Output."""
        found: dict[str, dict[str, Any]] = self._get("/v1/agent/checks")
        return found

    def statuses(self) -> dict[str, str]:
        """Return the status of each service that has one check: `passing`, `warning` or `critical`, by service id."""
        # A service in maintenance has a second check, which is not its own.
        own = {id_: check for id_, check in self.checks().items() if not id_.startswith(MAINTENANCE)}
        return {check["ServiceID"]: check["Status"] for check in own.values() if check.get("ServiceID")}

    def register(self, body: Mapping[str, Any]) -> None:
        """Register a service with its checks; one of the same id is replaced."""
        self._consul.request("PUT", "/v1/agent/service/register?replace-existing-checks=true", body)

    def deregister(self, service_id: str) -> None:
        """Remove a service; one that is gone already is no error."""
        try:
            self._consul.request("PUT", f"/v1/agent/service/deregister/{quote(service_id, safe='')}")
        except ConsulRefusedError as refused:
            if "Unknown service" not in refused.detail:
                raise

    def maintain(self, service_id: str, reason: str) -> None:
        """Put a service into maintenance: until it is removed or resumed, no answer names it, in DNS neither."""
        id_, why = quote(service_id, safe=""), quote(reason, safe="")
        self._consul.request("PUT", f"/v1/agent/service/maintenance/{id_}?enable=true&reason={why}")

    def resume(self, service_id: str) -> None:
        """End a service's maintenance; one that is in none is no error."""
        self._consul.request("PUT", f"/v1/agent/service/maintenance/{quote(service_id, safe='')}?enable=false")

    def in_maintenance(self) -> set[str]:
        """Return the ids of the agent's services that are in maintenance."""
        return {check["ServiceID"] for id_, check in self.checks().items() if id_.startswith(MAINTENANCE)}

    def heartbeat(self, service_id: str, status: str, output: str) -> None:
        """Report the status of a service whose check is a TTL.

        Raises ConsulRefusedError when Consul has no such check.
        """
        check = quote(f"service:{service_id}", safe="")
        self._consul.request("PUT", f"/v1/agent/check/update/{check}", {"Status": status, "Output": output})

    # --- all services ---

    def states(self) -> list[dict[str, Any]]:
        """Return every check of every member: Node, ServiceID, ServiceName, Status, Output."""
        found: list[dict[str, Any]] = self._get("/v1/health/state/any")
        return found

    def passing(self, service: str) -> dict[str, str]:
        """Return the addresses of a service's healthy instances, by their ids."""
        return {entry["Service"]["ID"]: entry["Service"]["Address"] for entry in self._healthy(service)}

    def containers(self, service: str) -> set[str]:
        """Return the container ids (their first 12 digits) of a service's healthy instances."""
        return {entry["Service"]["Meta"].get(CONTAINER_KEY, "") for entry in self._healthy(service)}

    def container_health(self) -> dict[str, bool]:
        """Return the container ids (their first 12 digits) of all services, and whether every check passes there."""
        health: dict[str, bool] = {}
        for service in self._get("/v1/catalog/services"):
            for entry in self._get(f"/v1/health/service/{service}"):
                container = (entry["Service"].get("Meta") or {}).get(CONTAINER_KEY, "")
                passing = all(check["Status"] == "passing" for check in entry["Checks"])
                if container:
                    health[container] = health.get(container, True) and passing
        return health

    # --- Consul itself ---

    def members(self) -> list[dict[str, Any]]:
        """Return Consul's members as this agent knows them: Name, Addr, Status (1: it answers)."""
        found: list[dict[str, Any]] = self._get("/v1/agent/members")
        return found

    def date(self) -> str:
        """Return the agent's own time, in HTTP's format."""
        return str(self._consul.request("GET", "/v1/status/leader").headers.get("Date", ""))

    def address(self) -> str:
        """Return the agent's own address: that of its host, where ports are published."""
        return str(self._get("/v1/agent/self")["Member"]["Addr"])

    def _healthy(self, service: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._get(f"/v1/health/service/{service}?passing=true")
        return found

    def _get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        return self._consul.request("GET", path).json()
