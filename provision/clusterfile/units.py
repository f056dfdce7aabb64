"""Parse sizes, times, address ranges, names and ports as people write them. Each function raises Wrong."""

from __future__ import annotations

import re
from functools import cache
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Final

from provision.base import paths
from provision.base.constants import OPERATOR, PORTS, SPARK_GROUP
from provision.base.model import Bastion

_SIZE = re.compile(r"(\d+)\s*([kmgt])i?b?", re.IGNORECASE)
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.IGNORECASE)
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_BASTION = re.compile(r"(?:([A-Za-z_][A-Za-z0-9_.-]*)@)?([A-Za-z0-9][A-Za-z0-9_.-]*)(?::(\d{1,5}))?")
_CLUSTER = re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?")

# On stock images, and what people take for an account of the product: beside those of the golden image.
_OTHERS = """
gnats syslog polkitd systemd-coredump uuidd landscape lxd pollinate tss ssh docker crontab netdev tcpdump _chrony
rtkit avahi colord geoclue fwupd-refresh usbmux debian ubuntu admin cloud-user rocky almalinux jupyter jupyterhub hub
"""
_ACCOUNTS: Final = "spec/accounts.txt"


@cache
def reserved_users() -> frozenset[str]:
    """Return the accounts and groups of nodes: useradd would fail, or worse, change the account of a daemon."""
    lines = (paths.TEMPLATES / _ACCOUNTS).read_text(encoding="utf-8").splitlines()
    image = {line for line in lines if line and not line.startswith("#")}
    return frozenset(image) | set(_OTHERS.split()) | {OPERATOR, SPARK_GROUP}


class Wrong(ValueError):  # noqa: N818 - a value, not an error of ours
    """A value is not accepted: `wrong` says what is wrong with it, `fix` what to do."""

    def __init__(self, wrong: str, fix: str) -> None:
        super().__init__(wrong)
        self.wrong = wrong
        self.fix = fix


def size_mib(text: str) -> int:
    """Turn `512m`, `2g`, of memory or of disk, into MiB."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise Wrong(f"{text!r} is not a size", "Write a number and a unit: 512m or 2g.")
    number, unit = int(match[1]), match[2].lower()
    mib = {"k": number // 1024, "m": number, "g": number * 1024, "t": number * 1024 * 1024}[unit]
    if mib < 1:
        raise Wrong(f"{text!r} is less than 1 MiB", "Write a number and a unit: 512m or 2g.")
    return mib


def duration_seconds(text: str) -> int:
    """Turn `90s`, `30m`, `1h30m`, `2d` into seconds; `0` stays 0."""
    text = text.strip()
    if text == "0":
        return 0
    match = _DURATION.fullmatch(text)
    if not text or not match:
        raise Wrong(f"{text!r} is not a time", "Write a number and a unit: 90s, 30m, 1h, 1h30m or 2d.")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def address(text: str) -> str:
    """Check an IPv4 address: `198.51.100.7`."""
    if not _is_address(text) or ":" in text:
        raise Wrong(f"{text!r} is not an IPv4 address", "Write true, false, or the address of a floating IP you have.")
    return text


def nameserver(text: str) -> str:
    """Check the IPv4 address of a name server that servers can ask: `192.0.2.53`."""
    fix = "Write the address of a name server that the nodes reach: 192.0.2.53."
    if not _is_address(text) or ":" in text:
        raise Wrong(f"{text!r} is not an IPv4 address", fix)
    found = IPv4Address(text)
    if found.is_unspecified or found.is_loopback or found.is_multicast or found.is_reserved:
        raise Wrong(f"no name server can be at {text}", fix)
    return text


def network(text: str) -> IPv4Network:
    """Turn `10.20.0.0/24` into a network; host bits must be clear."""
    if _is_address(text):
        raise Wrong(f"{text!r} has no prefix length", f"Write {text}/32 for one address, or a range as 10.20.0.0/24.")
    try:
        return IPv4Network(text)
    except (AddressValueError, NetmaskValueError):
        fix = "Write an IPv4 range as 10.20.0.0/24."
        if ":" in text:
            raise Wrong(f"{text!r} is IPv6, which clusters do not use", fix) from None
        raise Wrong(f"{text!r} is not an address range", fix) from None
    except ValueError:
        corrected = IPv4Network(text, strict=False)
        raise Wrong(f"{text!r} has host bits set", f"Write {corrected} for the whole range.") from None


def own_network(text: str) -> IPv4Network:
    """Turn the range of a network that is made for the cluster into a network: never a single address."""
    if _is_address(text):
        whole = IPv4Network(f"{text}/24", strict=False)
        raise Wrong(f"{text!r} has no prefix length", f"Write {whole} for a range of 256 addresses.")
    return network(text)


def bastion(text: str) -> Bastion:
    """Parse `[USER@]HOST[:PORT]`."""
    if ":" in text.rpartition("@")[0]:
        # Not the text itself: what is behind the colon may be a password.
        raise Wrong("it holds more than a user before the @", "Write USER@HOST:PORT: SSH logs in with its own keys.")
    found = _BASTION.fullmatch(text)
    if not found:
        raise Wrong(f"{text!r} is not a machine that SSH leads to", "Write HOST, or USER@HOST:PORT.")
    port = int(found[3] or 0)
    if found[3] and not 1 <= port <= 65535:
        raise Wrong(f"{found[3]} is not a port", "Use 1 to 65535, or leave it out.")
    return Bastion(found[2], found[1] or "", port)


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def cluster_name(text: str) -> str:
    """Check a cluster's name: it becomes part of host names, so the rules of DNS apply."""
    if not _CLUSTER.fullmatch(text):
        raise Wrong(
            f"{text!r} cannot be a cluster's name",
            "Use a-z, 0-9 and -, start with a letter, end with a letter or number, at most 40 characters.",
        )
    return text


def user_name(text: str) -> str:
    """Check a user's name by the rules of useradd, and that it is not an account of the system."""
    return _account(text, "user")


def group_name(text: str) -> str:
    """Check a group's name by the rules of groupadd, and that it is not a group of the system."""
    return _account(text, "group")


def _account(text: str, kind: str) -> str:
    if not _USER.fullmatch(text):
        raise Wrong(
            f"{text!r} cannot be a {kind}'s name",
            "Use a-z, 0-9, _ and -, start with a letter or _, at most 32 characters.",
        )
    if text in reserved_users() or text.startswith("systemd-"):
        raise Wrong(f"{text!r} is an account or group of the node's own system", "Choose another name.")
    return text


def taken_ports() -> tuple[tuple[int, int, str], ...]:
    """Return the port ranges that the Hub cannot have: first, last, and what they are for."""
    single = (
        (PORTS.ssh, "SSH"),
        (PORTS.spark_master, "the Spark master"),
        (PORTS.spark_master_ui, "the Spark master's UI"),
        (PORTS.spark_worker, "the Spark workers"),
        (PORTS.spark_worker_ui, "the Spark workers' UI"),
        (PORTS.spark_history, "the Spark history server"),
        (PORTS.hub_api, "the Hub's own API"),
        (PORTS.proxy_api, "the Hub's proxy"),
        (PORTS.pages, "Spark's pages behind the Hub's login"),
        (PORTS.dashboards, "the page of monitoring behind the Hub's login"),
        (PORTS.metrics, "monitoring's store"),
        (PORTS.alerts, "monitoring's alerts"),
        (PORTS.spark_metrics, "Spark's metrics"),
        (PORTS.node_metrics, "the nodes' metrics"),
    )
    ranges = (
        (PORTS.driver, PORTS.driver + PORTS.retries, "the notebooks' Spark drivers"),
        (PORTS.driver_block_manager, PORTS.driver_block_manager + PORTS.retries, "the drivers' block managers"),
        (PORTS.block_manager, PORTS.block_manager + PORTS.retries, "the executors' block managers"),
        (PORTS.app_ui, PORTS.app_ui + PORTS.retries, "the notebooks' Spark UIs"),
    )
    return tuple((port, port, use) for port, use in single) + ranges


def hub_port(number: int) -> int:
    """Check the Hub's port: a valid number that nothing else uses."""
    if not 1 <= number <= 65535:
        raise Wrong(f"{number} is not a port", "Use 1 to 65535; 443 is the default.")
    for first, last, use in taken_ports():
        if first <= number <= last:
            raise Wrong(f"port {number} belongs to {use}", "Use another one; 443 is the default.")
    return number
