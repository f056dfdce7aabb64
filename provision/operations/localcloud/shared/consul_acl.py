"""Give the `local` cloud's clients their rights in Consul."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.adapters.consul.acl import AccessRules
from provision.adapters.consul.http import ConsulUnavailableError
from provision.model.localcloud.consul_acl import ACCESSES, changes

if TYPE_CHECKING:
    from collections.abc import Mapping


def ensure_access(url: str, passwords: Mapping[str, str]) -> str:
    """Make Consul's rules and tokens those of this installation; return what that waits for, or an empty text.

    Whatever Consul has forgotten is told again, and tokens of an earlier installation on the same data end.
    """
    rules = AccessRules(url, passwords["consul_management"])
    secrets = {each.name: passwords[f"consul_{each.name}"] for each in ACCESSES if f"consul_{each.name}" in passwords}
    try:
        for request in changes(rules.policies(), rules.tokens(), secrets, rules.accessor()):
            rules.send(request)
    except ConsulUnavailableError:
        return "Consul"
    return ""
