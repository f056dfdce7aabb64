"""A spec's proxies as programs take them: variables of the environment, options of Java, and apt's settings."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, urlsplit

from provision.base.constants import METADATA_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from provision.base.model import Addresses, ClusterSpec, ProxySpec

OWN: Final = ("localhost", "127.0.0.1", METADATA_ADDRESS)
"""What a node asks of itself and of its cloud."""
NETS_AT_MOST: Final = 256
"""Patterns that a range becomes for Java, which knows no ranges."""


def variables(proxy: ProxySpec, direct: Sequence[str] = ()) -> dict[str, str]:
    """Return the variables of the environment, in lower and in upper case; none without a proxy."""
    if not proxy:
        return {}
    found = {"http_proxy": proxy.http, "https_proxy": proxy.https}
    found["no_proxy"] = ",".join(dict.fromkeys([*OWN, *direct, *proxy.direct]))
    found = {name: value for name, value in found.items() if value}
    return found | {name.upper(): value for name, value in found.items()}


def context(spec: ClusterSpec, addresses: Addresses) -> dict[str, Any]:
    """Return the variable `proxy` of the node templates.

    The nodes themselves are asked directly. None of them is named: a cluster that grows needs no other settings.
    """
    own = [str(spec.network.cidr), addresses.master, *filter(None, (addresses.own_hub, addresses.floating))]
    direct = tuple(dict.fromkeys([*OWN, *own, *spec.proxy.direct]))
    return {
        "variables": variables(spec.proxy, own),
        "java": " ".join(_java_options(spec.proxy, direct)),
        "http": spec.proxy.http,
        "https": spec.proxy.https,
        # apt knows no ranges, and no ends of names.
        "hosts": [host for host in spec.proxy.direct if "/" not in host and not host.startswith(".")],
    }


def apt_conf(proxies: Mapping[str, str], authorities: str = "") -> str:
    """Return a configuration of apt: proxies by their names there, and a file of certificate authorities."""
    settings = ({"Acquire::https::CAInfo": authorities} if authorities else {}) | dict(proxies)
    return "".join(f'{name} "{value}";\n' for name, value in settings.items())


def is_loopback(url: str) -> bool:
    """Whether a URL, or HOST:PORT, is of the machine itself that uses it, by its name or address."""
    try:
        host = (_place(url).hostname or "").removesuffix(".")
        if host == "localhost" or host.endswith(".localhost"):
            return True
        address = ip_address(host)
    except ValueError:
        return False
    # Who connects to 0.0.0.0 reaches itself.
    return address.is_loopback or address.is_unspecified


def bare_place(url: str) -> str:
    """Return HOST:PORT of a URL, or of USER:PASSWORD@HOST:PORT, and nothing else of it."""
    return _place(url).netloc.rpartition("@")[2]


def _place(url: str) -> SplitResult:
    return urlsplit(url if "//" in url else f"//{url}")


def _java_options(proxy: ProxySpec, direct: Sequence[str]) -> Iterator[str]:
    for scheme, url in (("http", proxy.http), ("https", proxy.https)):
        if url:
            parts = urlsplit(url)
            yield f"-D{scheme}.proxyHost={parts.hostname}"
            yield f"-D{scheme}.proxyPort={parts.port}"
    if proxy:
        patterns = dict.fromkeys(pattern for host in direct for pattern in _java_patterns(host))
        # https has no list of its own.
        yield f"-Dhttp.nonProxyHosts={'|'.join(patterns)}"


def _java_patterns(host: str) -> Iterator[str]:
    """Yield what Java takes for a host: `*` at the beginning or at the end is all that it knows."""
    if host == "127.0.0.1":
        yield "127.*"
    elif "/" in host:
        yield from _of_range(IPv4Network(host))
    elif host.startswith("."):
        yield f"*{host}"
    elif host[0].isdigit() or "." not in host:
        yield host
    else:
        # As everybody else takes it: the name, and all below it.
        yield from (host, f"*.{host}")


def _of_range(network: IPv4Network) -> Iterator[str]:
    if network.prefixlen == 32:
        yield str(network.network_address)
        return
    whole = min(-(-network.prefixlen // 8) * 8, 24) or 8
    if network.prefixlen > 24:
        network = network.supernet(new_prefix=24)  # more than was asked for, as there is nothing between
    for part in list(network.subnets(new_prefix=whole))[:NETS_AT_MOST]:
        octets = str(part.network_address).split(".")[: whole // 8]
        yield ".".join(octets) + ".*"
