"""Who may do what in Consul: rules, one token each, and the requests that make a Consul hold exactly these."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MARK: Final = "Made by provision"
"""How the description of all that is ours begins."""
CONSULS_OWN: Final = "Master Token"
"""How Consul describes a management token that it was given in its configuration."""
ANYBODY: Final = "00000000-0000-0000-0000-000000000002"
"""The accessor of the token that requests without a token have."""


@dataclass(frozen=True, slots=True)
class Access:
    """One kind of client, and what it may do in Consul's own language."""

    name: str
    rules: str

    @property
    def policy(self) -> str:
        """What its rules are called in Consul."""
        return f"provision-{self.name}"

    @property
    def description(self) -> str:
        """Changes with the rules, which Consul's lists do not show."""
        return f"{MARK}: {hashlib.sha256(self.rules.encode()).hexdigest()[:12]}"


def _may(**kinds: str) -> str:
    """Write rules, one a line: `service="write"` for all of a kind, `key="write galera/"` below a prefix."""
    lines = []
    for kind, text in kinds.items():
        policy, _, prefix = text.partition(" ")
        lines.append(f'{kind}_prefix "{prefix}" {{ policy = "{policy}" }}')
    return "\n".join(lines)


# A server's own agent works with the management token, which its configuration holds anyway: that is there as soon as
# there is a leader. With one that is made later the agent may lose its first race, and tries again only after 15 s.
ACCESSES: Final = (
    # DNS questions carry no token, so what they are answered from is open to all that reach Consul.
    Access("anybody", _may(node="read", service="read")),
    Access("registrator", _may(agent="read", node="read", service="write")),
    # Locks are keys held by sessions; a member itself says whether it serves.
    Access(
        "mariadb",
        _may(agent="read", node="read", service="read", session="write", key="write galera/")
        + '\nservice "mariadb" { policy = "write" }',
    ),
)


@dataclass(frozen=True, slots=True)
class Request:
    """One call of Consul's API."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None


def accessor(secret: str) -> str:
    """Name a token publicly: the same for the same secret, which it does not tell."""
    return str(uuid5(UUID(secret), "accessor"))


def changes(
    policies: Sequence[Mapping[str, Any]],
    tokens: Sequence[Mapping[str, Any]],
    secrets: Mapping[str, str],
    own: str,
) -> list[Request]:
    """Compare with Consul's lists; nothing that is not ours is touched.

    `secrets` are the tokens by the names of their kinds; `own` is the accessor of the management token in use.
    """
    held = {each["AccessorID"]: each for each in tokens}
    wanted = {accessor(secret): name for name, secret in secrets.items()}
    return [
        *_policies(policies),
        *_anybody(held.get(ANYBODY, {})),
        *_tokens(held, wanted, secrets),
        # Of an installation whose files were lost while its data was not.
        *(
            Request("DELETE", f"/v1/acl/token/{each}")
            for each, token in held.items()
            if each not in wanted and (token["Description"].startswith(MARK) or _stranded(token, own))
        ),
    ]


def _policies(policies: Sequence[Mapping[str, Any]]) -> Iterator[Request]:
    there = {each["Name"]: each for each in policies}
    for access in ACCESSES:
        body = {"Name": access.policy, "Description": access.description, "Rules": access.rules}
        if access.policy not in there:
            yield Request("PUT", "/v1/acl/policy", body)
        elif there[access.policy]["Description"] != access.description:
            yield Request("PUT", f"/v1/acl/policy/{there[access.policy]['ID']}", body)


def _anybody(token: Mapping[str, Any]) -> Iterator[Request]:
    ours = next(access.policy for access in ACCESSES if access.name == "anybody")
    given = _given(token)
    if ours not in given:
        # What the operator has added stays.
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
