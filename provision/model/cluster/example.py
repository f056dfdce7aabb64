"""A cluster's documents without a cloud: examples stand for what only a cloud or the cluster's folder knows."""

from __future__ import annotations

import random
import string
from typing import TYPE_CHECKING, Final

from provision.base.constants import FIRST_GID, FIRST_UID
from provision.base.model import Addresses, Flavor, Secrets
from provision.model.cluster.render import documents as render_documents
from provision.model.cluster.sizing import size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provision.base.model import ClusterSpec, Sizing

_UNKNOWN: Final = Flavor("example", 4, 8192, 32)
"""Stands for a flavor that only the user's cloud has."""
_CERTIFICATE: Final = 800
"""Letters of a certificate with an elliptic key, as the cluster's own authority issues them."""


def sizing(spec: ClusterSpec, source: str, flavors: Iterable[Flavor]) -> Sizing:
    """Size a cluster with the flavors that are known here; others are taken to have 4 vCPUs and 8 GiB."""
    known = {flavor.name: flavor for flavor in flavors}
    names = [name for _, name in spec.flavors]
    sizes = {name: known.get(name) or Flavor(name, _UNKNOWN.vcpus, _UNKNOWN.ram, _UNKNOWN.disk) for name in names}
    return size(spec, sizes, source)


def secrets_of_full_size(spec: ClusterSpec, chain: str = "") -> Secrets:
    """Return placeholders as long, and as hard to compress, as a cluster's real secrets.

    `chain`: the user's own certificate with its chain (PEM), if there is one.
    """
    noise = random.Random(0)  # noqa: S311 - nothing is kept secret with it

    def letters(count: int) -> str:
        return "".join(noise.choices(string.ascii_letters + string.digits + "+/", k=count))

    return Secrets(
        spark_secret=letters(64),
        hub_cert=chain or letters(_CERTIFICATE),
        hub_key=letters(1700 if chain else 250),
        authority="" if chain else letters(_CERTIFICATE),
        password_hashes=tuple((user.name, f"$6${letters(103)}") for user in spec.hub.users),
        operator_public_key=f"ssh-ed25519 {letters(68)}",
        executor_key=letters(64),
        login_secret=letters(64) if spec.hub.login else "",
        uids=tuple((user.name, FIRST_UID + index) for index, user in enumerate(spec.hub.users)),
        gids=tuple((group, FIRST_GID + index) for index, group in enumerate(spec.hub.groups)),
    )


def documents(spec: ClusterSpec, source: str, flavors: Iterable[Flavor]) -> dict[str, str]:
    """Render all files that the nodes of a cluster would get."""
    secrets = Secrets(
        spark_secret="EXAMPLE-SECRET",  # noqa: S106 - a placeholder
        hub_cert="-----BEGIN CERTIFICATE-----\nEXAMPLE\n-----END CERTIFICATE-----\n",
        hub_key="-----BEGIN PRIVATE KEY-----\nEXAMPLE\n-----END PRIVATE KEY-----\n",
        authority="-----BEGIN CERTIFICATE-----\nEXAMPLE\n-----END CERTIFICATE-----\n",
        password_hashes=tuple((user.name, "$6$example$example") for user in spec.hub.users),
        operator_public_key="ssh-ed25519 AAAAEXAMPLE",
        executor_key="EXAMPLE-KEY",
        login_secret="EXAMPLE-SECRET" if spec.hub.login else "",
        uids=tuple((user.name, FIRST_UID + index) for index, user in enumerate(spec.hub.users)),
        gids=tuple((group, FIRST_GID + index) for index, group in enumerate(spec.hub.groups)),
    )
    first = spec.network.cidr.network_address
    addresses = Addresses(str(first + 10), "192.0.2.10", str(first + 11) if spec.hub.node else "")
    return render_documents(spec, sizing(spec, source, flavors), addresses, secrets)
