"""Parse proxies and the hosts that none is asked for, as people write them. Each function raises Wrong."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from typing import Final
from urllib.parse import urlsplit

from provision.clusterfile.units import Wrong

_FIX: Final = "Write its address and port, as http://proxy.example.org:3128."
_HOST: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")


def proxy(text: str) -> str:
    """Check the address of a proxy: `http://HOST:PORT`, and return it without a slash at its end."""
    if "@" in text:
        # Not the text itself: it may hold a password, and errors are shown and kept.
        raise Wrong(
            "it holds a user or a password, and each program of each user on the nodes could read it",
            "Have the proxy let in the nodes by their addresses, and write http://HOST:PORT alone.",
        )
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Wrong(f"{text!r} is not the address of a proxy", _FIX) from None
    if parts.scheme != "http":
        raise Wrong(f"{text!r} does not begin with http://", f"Programs speak HTTP to it, also for https. {_FIX}")
    if not _HOST.fullmatch(host):
        raise Wrong(f"{text!r} is not the address of a proxy", _FIX)
    if not port:
        raise Wrong(f"{text!r} names no port, and programs do not agree on one", _FIX)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise Wrong(f"{text!r} has more than a host and a port", _FIX)
    return f"http://{host}:{port}"


def direct(text: str) -> str:
    """Check a host that no proxy is asked for: a name, the end of names (`.example.org`), an address or a range."""
    fix = "Write a host, the end of names as .example.org, an address, or a range as 192.0.2.0/24."
    if text == "*":
        raise Wrong("with * no proxy is ever asked", "Name the hosts, or leave `proxy` out.")
    if "," in text or " " in text:
        raise Wrong(f"{text!r} is more than one host", "Write a list: [one.example.org, two.example.org].")
    if re.fullmatch(r"[\d./]+", text):
        try:
            return str(IPv4Network(text) if "/" in text else IPv4Address(text))
        except ValueError:
            raise Wrong(f"{text!r} is neither an IPv4 address nor a range", fix) from None
    if not _HOST.fullmatch(text.removeprefix(".")):
        raise Wrong(f"{text!r} is not a host", fix)
    return text
