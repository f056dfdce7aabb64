"""Where OVN's databases are and how one speaks to them: a server on one machine, a cluster on several; touches nothing.

On several hosts each of the first three carries a member, on the host's own network: OVN takes addresses alone, and
those of containers change there. So everybody shows a certificate of the installation's authority.
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
"""The Swarm's services that carry a member each, in the order of their numbers (compose/swarm.yaml)."""
OVERLAY_MTU: Final = 1500 - 50
"""Of a Swarm's network: VXLAN takes 50 bytes of each packet. Neutron takes Geneve's from it, and tells guests the rest:
in user space Open vSwitch neither splits what is too long nor says so."""
_TLS: Final = (f"--private-key=/config/{KEY}", f"--certificate=/config/{CERTIFICATE}", f"--ca-cert=/config/{AUTHORITY}")


def remotes(settings: Settings, port: int) -> str:
    """Say where clients reach the database of this port, as OVN writes it."""
    if settings.swarm:
        return ",".join(f"ssl:{address}:{port}" for address in settings.members)
    return f"tcp:{settings.ovn}:{port}"


def sync(settings: Settings) -> list[str]:
    """Write the command that has OVN carry out all that is asked of it, for a container that has the certificate."""
    return ["ovn-nbctl", *_TLS, f"--db={remotes(settings, settings.ports.ovn_nb)}", "--timeout=5", "--wait=sb", "sync"]


def identity(settings: Settings) -> list[str]:
    """Write the command that names OVN's databases: a row that they have from their first day to their last."""
    where = f"--db={remotes(settings, settings.ports.ovn_sb)}"
    return ["ovn-sbctl", *_TLS, where, "--timeout=10", "get", "SB_Global", ".", "_uuid"]


def context(settings: Settings) -> dict[str, object]:
    """Give the templates what they say of OVN."""
    return {
        "nb": remotes(settings, settings.ports.ovn_nb),
        "sb": remotes(settings, settings.ports.ovn_sb),
        "files": {"private_key": KEY, "certificate": CERTIFICATE, "ca_cert": AUTHORITY} if settings.swarm else {},
        "path_mtu": OVERLAY_MTU if settings.swarm else 0,
        # Each host has a provider network of its own, with the same addresses.
        "distributed": settings.swarm,
    }


def documents(tls: Mapping[str, str]) -> dict[str, str]:
    """Give the certificate to those who need it: the members, Neutron, and a hypervisor's switch."""
    return {f"{family}/{name}": text for family in ("ovn", "neutron") for name, text in tls.items()}


def environment(settings: Settings) -> dict[str, str]:
    """Give Compose what it has to know of OVN."""
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
    """Say by which MAC guests know the provider network's gateway: OVN learns it once for all hosts."""
    return "02:00:" + ":".join(f"{byte:02x}" for byte in settings.gateway.packed)
