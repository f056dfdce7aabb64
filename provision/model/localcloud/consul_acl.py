"""Access rules in Consul: a policy and a token for each kind of client, and the requests that create them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MARK: Final = "Made by provision"
"""Beginning of the description of every policy and token that provision made."""
CONSULS_OWN: Final = "Master Token"
"""Consul's description of the management token in its configuration."""
ANYBODY: Final = "00000000-0000-0000-0000-000000000002"
"""Accessor of the anonymous token, which requests without a token have."""


@dataclass(frozen=True, slots=True)
class Access:
    """A kind of client, and what it may do, in Consul's rule language."""

    name: str
    rules: str

    @property
    def policy(self) -> str:
        """Name of its policy in Consul."""
        return f"provision-{self.name}"

    @property
    def description(self) -> str:
        """Description of its policy. It contains a hash of the rules, since Consul's lists do not show the rules."""
        return f"{MARK}: {hashlib.sha256(self.rules.encode()).hexdigest()[:12]}"


def _may(**kinds: str) -> str:
    """Write rules, one a line: `service="write"` for all services, `key="write galera/"` for keys with a prefix."""
    lines = []
    for kind, text in kinds.items():
        policy, _, prefix = text.partition(" ")
        lines.append(f'{kind}_prefix "{prefix}" {{ policy = "{policy}" }}')
    return "\n".join(lines)


# A server's own agent uses the management token, which is in its configuration anyway and exists as soon as there is a
# leader. A token that is made later may come too late for the agent, which tries again only after 15 s.
ACCESSES: Final = (
    # DNS queries carry no token, so services are open to all that reach Consul.
    Access("anybody", _may(node="read", service="read")),
    Access("registrator", _may(agent="read", node="read", service="write")),
    # Locks are keys held by sessions; a member itself reports whether it serves.
    Access(
        "mariadb",
        _may(agent="read", node="read", service="read", session="write", key="write galera/")
        + '\nservice "mariadb" { policy = "write" }',
    ),
    # Where the services are, and Consul's own metrics, which are the agent's.
    Access("monitoring", _may(agent="read", node="read", service="read")),
)


@dataclass(frozen=True, slots=True)
class Request:
    """One call of Consul's API."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None


def accessor(secret: str) -> str:
    """Derive a token's public accessor from its secret; the secret cannot be derived from it."""
    return str(uuid5(UUID(secret), "accessor"))


def changes(
    policies: Sequence[Mapping[str, Any]],
    tokens: Sequence[Mapping[str, Any]],
    secrets: Mapping[str, str],
    own: str,
) -> list[Request]:
    """Return the requests that are needed; policies and tokens of others are not touched.

    `policies` and `tokens` are Consul's lists. `secrets` are the tokens by the name of their kind of client; `own` is
    the accessor of the management token in use.
    """
    held = {each["AccessorID"]: each for each in tokens}
    wanted = {accessor(secret): name for name, secret in secrets.items()}
    return [
        *_policies(policies),
        *_anybody(held.get(ANYBODY, {})),
        *_tokens(held, wanted, secrets),
        # Tokens of a local cloud whose files were lost, but not its data.
        *(
            Request("DELETE", f"/v1/acl/token/{each}")
            for each, token in held.items()
            if each not in wanted and (token["Description"].startswith(MARK) or _stranded(token, own))
        ),
    ]


def _policies(policies: Sequence[Mapping[str, Any]]) -> Iterator[Request]:
    existing = {each["Name"]: each for each in policies}
    for access in ACCESSES:
        body = {"Name": access.policy, "Description": access.description, "Rules": access.rules}
        if access.policy not in existing:
            yield Request("PUT", "/v1/acl/policy", body)
        elif existing[access.policy]["Description"] != access.description:
            yield Request("PUT", f"/v1/acl/policy/{existing[access.policy]['ID']}", body)


def _anybody(token: Mapping[str, Any]) -> Iterator[Request]:
    ours = next(access.policy for access in ACCESSES if access.name == "anybody")
    given = _given(token)
    if ours not in given:
        # Policies that the operator has added stay.
        body = {"Description": "Anonymous Token", "Policies": [{"Name": name} for name in (*given, ours)]}
        yield Request("PUT", f"/v1/acl/token/{ANYBODY}", body)


def _tokens(
    held: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, str], secrets: Mapping[str, str]
) -> Iterator[Request]:
    policy = {access.name: access.policy for access in ACCESSES}
    for each, name in wanted.items():
        body = {"Description": f"{MARK}: {name}", "Policies": [{"Name": policy[name]}]}
        if each not in held:
            yield Request("PUT", "/v1/acl/token", body | {"AccessorID": each, "SecretID": secrets[name]})
        elif _given(held[each]) != [policy[name]]:
            yield Request("PUT", f"/v1/acl/token/{each}", body)


def _given(token: Mapping[str, Any]) -> list[str]:
    return [each["Name"] for each in token.get("Policies") or ()]


def _stranded(token: Mapping[str, Any], own: str) -> bool:
    return bool(token["Description"] == CONSULS_OWN and token["AccessorID"] != own)
