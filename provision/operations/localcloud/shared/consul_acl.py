"""Give the local cloud's services their access rights in Consul."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.adapters.consul.acl import AccessRules
from provision.adapters.consul.http import ConsulUnavailableError
from provision.base.poll import Pending
from provision.model.localcloud.consul_acl import ACCESSES, changes

if TYPE_CHECKING:
    from collections.abc import Mapping


def ensure_access(url: str, passwords: Mapping[str, str]) -> Pending | None:
    """Give Consul the policies and tokens of this local cloud; return Pending while Consul does not answer.

    What Consul has lost is written again. Tokens of an earlier local cloud on the same data are removed.
    """
    rules = AccessRules(url, passwords["consul_management"])
    secrets = {
        access.name: passwords[f"consul_{access.name}"] for access in ACCESSES if f"consul_{access.name}" in passwords
    }
    try:
        for request in changes(rules.policies(), rules.tokens(), secrets, rules.accessor()):
            rules.send(request)
    except ConsulUnavailableError:
        return Pending("Consul")
    return None
