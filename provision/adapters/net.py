"""Network questions: addresses, open ports, served certificates, and whether the Hub answers."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Final

from provision.base.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from requests.adapters import BaseAdapter

_END: Final = "-----END CERTIFICATE-----"


def source_address(target: str) -> str | None:
    """Return the address of this machine that it would use towards `target`; None without a route. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def address_of(host: str) -> str | None:
    """Return the IPv4 address of a host name, or None."""
    try:
        return socket.gethostbyname(host)
    except OSError:
        return None


def accepts_connections(host: str, port: int, timeout: float = 1) -> bool:
    """Return whether a TCP connection to `host` can be made within `timeout` seconds."""
    try:
        with socket.create_connection((host, port), timeout=timeout):
            return True
    except OSError:
        return False


def free_port(wanted: int) -> int:
    """Return `wanted` if it is free on this machine's loopback address, and another port that is free if not."""
    for port in (wanted, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ProvisionError("this machine has no free port", "End programs that hold many connections.")


def hub_answers(
    address: str,
    port: int,
    certificate: Path,
    *,
    authority: bool,
    accepts_expired: Callable[[bytes], bool] | None = None,
    timeout: float = 8,
) -> str:
    """Ask the Hub for its health over HTTPS; return what is wrong, empty when it is well.

    `certificate` is a PEM file: of the authority that must have signed the Hub's certificate, or (with `authority`
    False) of the very certificate that the Hub must present. `accepts_expired` is asked about one (DER) whose time is
    over.
    """
    import requests

    try:
        pem = certificate.read_text()
        try:
            _ask_hub(address, port, timeout, authority=certificate if authority else None, pinned=leaf(pem))
        except requests.exceptions.SSLError as error:
            if "certificate has expired" not in str(error):
                return f"its certificate is not the cluster's: {error}"
            served = served_certificate(address, port)
            if not (accepts_expired and served and accepts_expired(served)):
                return "its certificate has expired"
            _ask_hub(address, port, timeout, authority=None, pinned=served)
    except requests.RequestException as error:
        return f"it does not answer yet ({type(error).__name__})"
    except (OSError, ValueError) as error:
        return f"{certificate} cannot be read: {error}"
    return ""


def _ask_hub(address: str, port: int, timeout: float, *, authority: Path | None, pinned: bytes) -> None:
    import requests

    with requests.Session() as session:
        session.trust_env = False
        if not authority:
            session.mount("https://", _pinned(pinned))
        answer = session.get(
            f"https://{address}:{port}/hub/health", timeout=timeout, verify=str(authority) if authority else True
        )
    answer.raise_for_status()


def leaf(pem: str) -> bytes:
    """Return the first certificate of a PEM text in DER."""
    return ssl.PEM_cert_to_DER_cert(pem.partition(_END)[0] + f"{_END}\n")


def served_certificate(address: str, port: int, timeout: float = 5) -> bytes | None:
    """Return the certificate (DER) that a server presents, whoever signed it, or None."""
    try:
        return leaf(ssl.get_server_certificate((address, port), timeout=timeout))
    except (OSError, ValueError):
        return None


def _pinned(certificate: bytes) -> BaseAdapter:
    """Return a transport that accepts this certificate (DER) alone, whatever host name it is for."""
    import hashlib

    from requests.adapters import HTTPAdapter

    fingerprint = hashlib.sha256(certificate).hexdigest()

    class Pinned(HTTPAdapter):
        def init_poolmanager(self, *args: object, **kwargs: object) -> None:
            # The fingerprint is the check: the user's own chain may end in an authority that is unknown here.
            super().init_poolmanager(*args, assert_fingerprint=fingerprint, cert_reqs="CERT_NONE", **kwargs)  # type: ignore[arg-type]

        def cert_verify(self, conn: object, *_: object) -> None:
            conn.cert_reqs = "CERT_NONE"  # type: ignore[attr-defined]

    return Pinned()
