"""Whether the Hub answers, asked over SSH: for clusters whose Hub this machine does not reach by itself.

TLS is spoken from here, through a channel of the master's connection: no program runs on the node, which may still
boot, and the Hub's certificate is checked as it is without SSH.
"""

from __future__ import annotations

import os
import select
import ssl
import time
from typing import TYPE_CHECKING, Final

from provision.adapters.host.process import Piped
from provision.adapters.net import leaf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

CONNECT_SECONDS: Final = 15
"""Timeout for a connection while the node may still be booting: it is asked again soon."""
ANSWER_SECONDS: Final = 60
"""Timeout for the whole question, a key exchange on an emulated node among it."""
_EXPIRED: Final = 10
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED."""


class _NoAnswerError(Exception):
    """Nothing came back; the text says what SSH said."""


def hub_answers_over_ssh(
    ssh_config: Path,
    master: str,
    to: tuple[str, int],
    certificate: Path,
    *,
    authority: bool,
    accepts_expired: Callable[[bytes], bool] | None = None,
) -> str:
    """Ask the Hub at an address and port for its health, from the node `master`; as net.hub_answers."""
    address, port = to
    argv = ["ssh", "-F", str(ssh_config), "-o", f"ConnectTimeout={CONNECT_SECONDS}", "-W", f"{address}:{port}", master]
    try:
        wanted = leaf(certificate.read_text())
        checked = ssl.create_default_context(cafile=str(certificate)) if authority else _unchecked()
    except (OSError, ValueError) as error:
        return f"{certificate} cannot be read: {error}"
    try:
        try:
            status, served = ask(argv, checked, address)
        except ssl.SSLCertVerificationError as error:
            if error.verify_code != _EXPIRED:
                return f"its certificate is not the cluster's: {error.verify_message}"
            status, served = ask(argv, _unchecked(), address)
            if not (accepts_expired and accepts_expired(served)):
                return "its certificate has expired"
    except (_NoAnswerError, OSError, ValueError) as error:  # SSLError is an OSError
        return f"it does not answer yet ({error})"
    if not authority and served != wanted:
        return "its certificate is not the cluster's"
    return "" if status == 200 else f"it does not answer yet (HTTP {status})"


def _unchecked() -> ssl.SSLContext:
    """Return a context that takes any certificate: the caller compares it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def ask(argv: Sequence[str], context: ssl.SSLContext, name: str, timeout: float = ANSWER_SECONDS) -> tuple[int, bytes]:
    """Ask for the Hub's health through a program that leads to it; return the HTTP status, and its certificate (DER).

    Raises SSLError, and _NoAnswerError where the program ends or nothing comes in time.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    deadline = time.monotonic() + timeout
    with Piped(argv) as piped:

        def exchange(act: Callable[[], bytes | int | None]) -> bytes | int | None:
            while True:
                try:
                    answer = act()
                except ssl.SSLWantReadError:
                    _send(piped, outgoing)
                    incoming.write(_receive(piped, deadline))
                else:
                    _send(piped, outgoing)
                    return answer

        exchange(tls.do_handshake)
        served = tls.getpeercert(binary_form=True) or b""
        question = f"GET /hub/health HTTP/1.0\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()
        exchange(lambda: tls.write(question))
        answer = exchange(lambda: tls.read(1 << 12))
    words = answer.split() if isinstance(answer, bytes) else []
    return int(words[1]) if len(words) > 1 else 0, served


def _send(piped: Piped, outgoing: ssl.MemoryBIO) -> None:
    if outgoing.pending:
        piped.feed.write(outgoing.read())
        piped.feed.flush()


def _receive(piped: Piped, deadline: float) -> bytes:
    ready, _, _ = select.select([piped.output], [], [], max(deadline - time.monotonic(), 0))
    data = os.read(piped.output.fileno(), 1 << 16) if ready else b""
    if not data:
        said = piped.stop().stderr.strip().splitlines()
        raise _NoAnswerError((said or ["nothing came in time"])[-1])
    return data
