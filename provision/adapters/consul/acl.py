"""The door to Consul's access rules, with the management token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provision.adapters.consul.catalogue import Catalogue

if TYPE_CHECKING:
    from provision.model.localcloud.consul_acl import Request


class AccessRules:
    """Consul's policies and tokens; every call raises CatalogueAwayError while Consul is not ready."""

    def __init__(self, url: str, token: str) -> None:
        self._consul = Catalogue(url, token)

    def accessor(self) -> str:
        """Return our own token's accessor."""
        return str(self._consul.call("GET", "/v1/acl/token/self").json()["AccessorID"])

    def policies(self) -> list[dict[str, Any]]:
        """List the policies: ID, Name, Description."""
        found: list[dict[str, Any]] = self._consul.call("GET", "/v1/acl/policies").json()
        return found

    def tokens(self) -> list[dict[str, Any]]:
        """List the tokens: AccessorID, Description, Policies."""
        found: list[dict[str, Any]] = self._consul.call("GET", "/v1/acl/tokens").json()
        return found

    def send(self, request: Request) -> None:
        """Make one change."""
        self._consul.call(request.method, request.path, request.body)
