"""An OIDC server for tests, with TLS and a certificate of an authority of its own."""

from __future__ import annotations

import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import oidc_provider_mock
import requests
from werkzeug.serving import make_server

from provision.adapters.host.certificates import ensure_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLIENT = "provision"


@dataclass(frozen=True)
class OidcServer:
    """A running server: its issuer, and the file of its authority."""

    issuer: str
    ca: Path

    def knows(self, subject: str, **claims: Any) -> None:
        """Let it know somebody, who logs in by writing the subject into its form."""
        requests.put(f"{self.issuer}/users/{subject}", json=claims, verify=self.ca, timeout=180).raise_for_status()


@contextmanager
def oidc_server(folder: Path, address: str = "127.0.0.1") -> Iterator[OidcServer]:
    """Run a server on a free port of an address of this machine."""
    made = ensure_certificate(folder, "oidc", "a login server for tests", ("localhost",), (address,))
    (folder / "oidc-ca.pem").write_text(made.authority)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "oidc.pem", folder / "oidc.key")
    server = make_server(address, 0, oidc_provider_mock.app(), threaded=True, ssl_context=context)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield OidcServer(f"https://{address}:{server.server_port}", folder / "oidc-ca.pem")
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
