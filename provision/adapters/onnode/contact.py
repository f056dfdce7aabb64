"""What a node reaches: ports of the others, name servers, the metadata service, and the daemons' own answers."""

from __future__ import annotations

import errno
import http.client
import json
import os
import select
import socket
import ssl
import struct
import threading
import time
import urllib.parse
from contextlib import suppress
from typing import Any

_ROOT_SERVERS = b"\x00\x00\x02\x00\x01"
"""The question that every name server can answer: the name `.`, type NS, class IN."""
BYTES_AT_MOST = 4 << 20
"""Of an answer over HTTP."""
_AT_ONCE = 500
"""Connections that are tried at once: a program may have 1,024 open files."""


def reach(targets: list[tuple[str, int]], seconds: float) -> dict[str, str]:
    """Ask for a TCP connection to many targets at once; return by `address:port` what came of it within `seconds`.

    open; refused: an answer that nobody listens, so the way is free; silent: nothing came back, as when a firewall
    drops it; else the system's own word for the error.
    """
    found: dict[str, str] = {}
    for place in range(0, len(targets), _AT_ONCE):
        found |= _reach(targets[place : place + _AT_ONCE], seconds)
    return found


def _reach(targets: list[tuple[str, int]], seconds: float) -> dict[str, str]:
    found: dict[str, str] = {}
    asked: dict[int, tuple[str, socket.socket]] = {}
    poller = select.poll()
    for host, port in targets:
        link = socket.socket()
        link.setblocking(False)
        name = f"{host}:{port}"
        code = link.connect_ex((host, port))
        if code in (0, errno.EINPROGRESS):
            asked[link.fileno()] = name, link
            poller.register(link, select.POLLOUT)
        else:
            found[name] = _word(code)
            link.close()
    end = time.monotonic() + seconds
    while asked and (left := end - time.monotonic()) > 0:
        for number, _ in poller.poll(1000 * left):
            name, link = asked.pop(number)
            poller.unregister(number)
            found[name] = _word(link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            link.close()
    for name, link in asked.values():
        found[name] = "silent"
        link.close()
    return found


def _word(code: int) -> str:
    if code == errno.ECONNREFUSED:
        return "refused"
    return "open" if code == 0 else os.strerror(code)


def name_servers(paths: list[str], seconds: float) -> dict[str, bool]:
    """Ask each name server of the first of these resolv.conf files that exists; return which of them answered at all.

    An answer that says no is an answer: whether the world's names can be had is not this node's matter.
    """
    servers: list[str] = []
    for path in paths:
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                words = [line.split() for line in file]
            servers = [each[1].partition("%")[0] for each in words if len(each) > 1 and each[0] == "nameserver"]
            break
    return {server: _answers(server, seconds) for server in dict.fromkeys(servers)}


def _answers(server: str, seconds: float) -> bool:
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    question = struct.pack(">6H", 0x5050, 0x0100, 1, 0, 0, 0) + _ROOT_SERVERS
    with socket.socket(family, socket.SOCK_DGRAM) as link:
        link.settimeout(seconds / 2)
        for _ in range(2):  # a datagram may be lost
            try:
                link.connect((server, 53))
                link.send(question)
                if link.recv(512)[:2] == question[:2]:
                    return True
            except OSError:
                continue
    return False


def resolves(names: list[str]) -> dict[str, str]:
    """Look each name up as every program does; return the address, empty if there is none."""
    found = {}
    for name in names:
        try:
            found[name] = str(socket.getaddrinfo(name, None, socket.AF_INET)[0][4][0])
        except OSError:
            found[name] = ""
    return found


def get(url: str, seconds: float, token: str = "") -> Any:  # noqa: ANN401 - JSON
    """Return what a daemon answers over HTTP, as JSON or as text. Raises OSError when it does not, within `seconds`."""
    late = f"no answer within {max(seconds, 0):.0f} s"
    if seconds <= 0:
        raise TimeoutError(late)
    # No proxy of the environment: it does not reach the nodes. No redirects: a port may be any user's program.
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=seconds)
    begun = time.monotonic()
    connection.connect()
    # A limit for all of it: whoever answers may send a byte now and then.
    over = threading.Event()
    left = max(seconds - (time.monotonic() - begun), 0)
    end = threading.Timer(left, _cut, (connection.sock, over))
    end.daemon = True
    end.start()
    try:
        connection.request(
            "GET",
            urllib.parse.urlunsplit(("", "", place.path or "/", place.query, "")),
            headers={"Authorization": f"token {token}"} if token else {},
        )
        answer = connection.getresponse()
        text = answer.read(BYTES_AT_MOST).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        if over.is_set():
            raise TimeoutError(late) from None
        if isinstance(error, OSError):
            raise
        raise OSError(f"what answers speaks no HTTP: {type(error).__name__}") from error
    finally:
        end.cancel()
        connection.close()
    if over.is_set():
        raise TimeoutError(late)  # and what was read ends anywhere
    if answer.status != http.client.OK:
        raise OSError(f"it answers with {answer.status} {answer.reason}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _cut(link: socket.socket, over: threading.Event) -> None:
    """End a connection, whoever reads from it."""
    over.set()
    with suppress(OSError):  # it has ended by itself
        link.shutdown(socket.SHUT_RDWR)


def served_certificate(host: str, port: int, seconds: float) -> str:
    """Return the certificate (PEM) that a server presents. Raises OSError when it does not answer."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, port), timeout=seconds) as link, context.wrap_socket(link) as tls:
        return ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True) or b"")


def why(error: BaseException) -> str:
    """Say in a few words why there was no answer."""
    reason = getattr(error, "reason", error)
    return str(reason) or type(reason).__name__
