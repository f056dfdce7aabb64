"""Check the user's own certificate and key, for the Hub or the local cloud: readable, valid now, and a pair."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from provision.clusterfile.document import Problem

if TYPE_CHECKING:
    from pathlib import Path

    from provision.base.model import Tls

_CERT = ("hub", "tls", "cert")
_KEY = ("hub", "tls", "key")
_UNREADABLE = "Name a file that you may read; in a spec, paths are relative to its folder."


def problems(tls: Tls, now: datetime | None = None, *, unreadable: str = _UNREADABLE) -> list[Problem]:
    """List what is wrong with the two files; the paths are absolute. `unreadable`: what to do about one that is."""
    now = now or datetime.now(UTC)
    cert_pem, cert_wrong = _read(tls.cert, _CERT, unreadable)
    key_pem, key_wrong = _read(tls.key, _KEY, unreadable)
    found = [problem for problem in (cert_wrong, key_wrong) if problem]
    if found:
        return found
    try:
        leaf = x509.load_pem_x509_certificates(cert_pem)[0]
    except (ValueError, IndexError):
        fix = "Put the certificate first, then its chain, as `-----BEGIN CERTIFICATE-----` blocks."
        found.append(Problem(_CERT, f"{tls.cert} contains no PEM certificate", fix))
        leaf = None
    try:
        key = load_pem_private_key(key_pem, password=None)
    except TypeError:
        fix = f"Decrypt it: openssl pkey -in {tls.key.name} -out plain.key"
        found.append(Problem(_KEY, f"{tls.key} is encrypted with a passphrase", fix))
        key = None
    except (ValueError, UnsupportedAlgorithm):
        found.append(Problem(_KEY, f"{tls.key} contains no PEM private key", "Use an RSA or EC key in PEM format."))
        key = None
    if leaf is not None:
        found += _dates(tls.cert, leaf, now)
    if leaf is not None and key is not None and _public(leaf) != _public(key):
        found.append(
            Problem(_KEY, f"{tls.key} is not the key of {tls.cert}", "Name the key that belongs to the certificate.")
        )
    return found


def _read(path: Path, where: tuple[str, ...], fix: str) -> tuple[bytes, Problem | None]:
    try:
        return path.read_bytes(), None
    except OSError as error:
        why = error.strerror or str(error)
        return b"", Problem(where, f"{path} cannot be read: {why}", fix)


def names(cert: Path) -> list[str]:
    """List the addresses and host names that a certificate is for, in its own order. The file must be readable."""
    leaf = x509.load_pem_x509_certificates(cert.read_bytes())[0]
    try:
        alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    kinds = (x509.IPAddress, x509.DNSName)
    return [str(name.value) for name in alternatives if isinstance(name, kinds)]


def _dates(path: Path, leaf: x509.Certificate, now: datetime) -> list[Problem]:
    if leaf.not_valid_after_utc <= now:
        ended = f"{leaf.not_valid_after_utc:%Y-%m-%d}"
        return [Problem(_CERT, f"{path} expired on {ended}", "Renew it, or name none: then one is made.")]
    if leaf.not_valid_before_utc > now:
        begins = f"{leaf.not_valid_before_utc:%Y-%m-%d}"
        return [
            Problem(_CERT, f"{path} is not valid before {begins}", "Use one that is valid now, and check the clock.")
        ]
    return []


def _public(holder: object) -> bytes:
    key = holder.public_key()  # type: ignore[attr-defined]
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded
