"""Consul's access rules: policies and tokens, read and changed with the management token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provision.adapters.consul.http import ConsulClient

if TYPE_CHECKING:
    from provision.model.localcloud.consul_acl import Request


class AccessRules:
    """Consul's policies and tokens; every method raises ConsulUnavailableError while Consul is not ready."""

    def __init__(self, url: str, token: str) -> None:
        self._consul = ConsulClient(url, token)

    def accessor(self) -> str:
        """Return the accessor id of the token that is used here."""
        return str(self._consul.request("GET", "/v1/acl/token/self").json()["AccessorID"])

    def policies(self) -> list[dict[str, Any]]:
        """List the policies: ID, Name, Description."""
        found: list[dict[str, Any]] = self._consul.request("GET", "/v1/acl/policies").json()
        return found

    def tokens(self) -> list[dict[str, Any]]:
        """List the tokens: AccessorID, Description, Policies."""
        found: list[dict[str, Any]] = self._consul.request("GET", "/v1/acl/tokens").json()
        return found

    def send(self, request: Request) -> None:
        """Make one change."""
        self._consul.request(request.method, request.path, request.body)
