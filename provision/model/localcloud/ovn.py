"""OVN's databases: where they are and how clients connect. One server on one machine, a cluster on several.

On several hosts the first three carry a member each, on the host's own network: OVN accepts only addresses, and a
container's address changes. Since that network is open to others, all connections need a certificate of the local
cloud's own CA.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provision.model.localcloud.settings import Settings

AUTHORITY: Final = "ovn-authority.pem"
CERTIFICATE: Final = "ovn-certificate.pem"
KEY: Final = "ovn-key.pem"
MEMBERS: Final = ("ovn", "ovn-2", "ovn-3")
"""The Swarm's services that are members, in the order of their numbers (compose/swarm.yaml)."""
_TLS: Final = (f"--private-key=/config/{KEY}", f"--certificate=/config/{CERTIFICATE}", f"--ca-cert=/config/{AUTHORITY}")


def remotes(settings: Settings, port: int) -> str:
    """Return the connection string for the database on this port."""
    if settings.swarm:
        return ",".join(f"ssl:{address}:{port}" for address in settings.members)
    return f"tcp:{settings.ovn}:{port}"


def sync(settings: Settings) -> list[str]:
    """Return the command that waits until OVN has applied all changes. Its container needs the certificate."""
    return ["ovn-nbctl", *_TLS, f"--db={remotes(settings, settings.ports.ovn_nb)}", "--timeout=5", "--wait=sb", "sync"]


def identity(settings: Settings) -> list[str]:
    """Return the command that prints the databases' identity: the id of a row that exists as long as they do."""
    where = f"--db={remotes(settings, settings.ports.ovn_sb)}"
    return ["ovn-sbctl", *_TLS, where, "--timeout=10", "get", "SB_Global", ".", "_uuid"]


def context(settings: Settings) -> dict[str, object]:
    """Return the variables about OVN for the templates."""
    return {
        "nb": remotes(settings, settings.ports.ovn_nb),
        "sb": remotes(settings, settings.ports.ovn_sb),
        "files": {"private_key": KEY, "certificate": CERTIFICATE, "ca_cert": AUTHORITY} if settings.swarm else {},
        # Neutron subtracts Geneve's overhead and tells guests the result: in user space Open vSwitch silently drops
        # packets that are too long.
        "path_mtu": settings.overlay_mtu if settings.swarm else 0,
        # Each host has a provider network of its own, with the same addresses.
        "distributed": settings.swarm,
    }


def documents(tls: Mapping[str, str]) -> dict[str, str]:
    """Return the certificate's files for the families that need them: OVN (members and switches) and Neutron."""
    return {f"{family}/{name}": text for family in ("ovn", "neutron") for name, text in tls.items()}


def environment(settings: Settings) -> dict[str, str]:
    """Return the variables about OVN for Compose."""
    ports = settings.ports
    values = {"OVN_ADDRESS": str(settings.ovn), "OVN_REMOTE": remotes(settings, ports.ovn_sb)}
    if not settings.swarm:
        return values
    return values | {
        "OVN_MEMBERS": ",".join(settings.members),
        "OVN_NB_PORT": str(ports.ovn_nb),
        "OVN_SB_PORT": str(ports.ovn_sb),
        "OVN_NB_RAFT_PORT": str(ports.ovn_nb_raft),
        "OVN_SB_RAFT_PORT": str(ports.ovn_sb_raft),
        "UPLINK_GATEWAY": str(settings.uplink[1]),
        "PROVIDER_GATEWAY": str(settings.gateway),
        "PROVIDER_GATEWAY_MAC": gateway_mac(settings),
    }


def gateway_mac(settings: Settings) -> str:
    """Return the provider network gateway's MAC for guests: the same on all hosts, since OVN learns it only once."""
    return "02:00:" + ":".join(f"{byte:02x}" for byte in settings.gateway.packed)
