"""Certificates: an authority of our own in a folder, and server certificates signed by it. Files have mode 0600."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from provision.adapters.host.files import ensure_private
from provision.base.errors import ProvisionError

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

AUTHORITY_DAYS: Final = 3650
# Browsers refuse certificates for longer.
CERTIFICATE_DAYS: Final = 397
RENEW_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Issued:
    """A server's certificate, its key and the authority that signed it, each in PEM."""

    cert: str
    key: str
    authority: str

    def __repr__(self) -> str:
        return "Issued(…)"


def ensure_certificate(
    folder: Path, stem: str, authority: str, names: tuple[str, ...], addresses: tuple[str, ...], *, mutual: bool = False
) -> Issued:
    """Return the certificate `<stem>.pem` in `folder`, signed by `ca.pem` there; what is missing is made.

    `authority` is the name of a new authority. The certificate is replaced when it expires soon or is not valid yet,
    lacks one of the addresses, or was signed by another authority. A `mutual` certificate is presented by both ends and
    never to a browser, so it is valid as long as its authority.
    Raises ProvisionError for an authority with which nothing can be signed: it is never replaced unasked.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificate

    authority_file, authority_key_file = folder / "ca.pem", folder / "ca.key"
    if not (authority_file.exists() and authority_key_file.exists()):
        pem, key_pem = _authority(authority)
        # The key first: without it a certificate is replaced, which does no harm while nobody trusts it.
        ensure_private(authority_key_file, key_pem)
        ensure_private(authority_file, pem)
    require_authority(folder)
    authority_pem = authority_file.read_text()
    signer = load_pem_x509_certificate(authority_pem.encode())
    cert_file, key_file = folder / f"{stem}.pem", folder / f"{stem}.key"
    if not (cert_file.exists() and key_file.exists() and _is_valid(cert_file.read_bytes(), addresses, signer)):
        try:
            signer_key = load_pem_private_key(authority_key_file.read_bytes(), password=None)
        except (ValueError, TypeError):
            raise _useless(authority_key_file, "holds no PEM private key", folder) from None
        cert, key = _issue(names, addresses, signer, signer_key, mutual=mutual)  # type: ignore[arg-type]
        ensure_private(key_file, key)
        ensure_private(cert_file, cert)
    return Issued(cert_file.read_text(), key_file.read_text(), authority_pem)


def require_authority(folder: Path) -> None:
    """Raise ProvisionError for an authority in `folder` whose certificate is damaged or not valid now."""
    file = folder / "ca.pem"
    if file.exists() and (wrong := authority_problem(file.read_bytes())):
        raise _useless(file, wrong, folder)


def authority_problem(pem: bytes) -> str:
    """Say why nothing can be signed now with an authority (PEM), as a predicate; empty if all is well."""
    from cryptography.x509 import load_pem_x509_certificate

    try:
        authority = load_pem_x509_certificate(pem)
    except ValueError:
        return "holds no PEM certificate"
    now = datetime.now(UTC)
    # The clock may be what is wrong, or have been when the authority was made.
    clock = f"(this machine's clock says {now:%Y-%m-%d})"
    if authority.not_valid_after_utc <= now:
        return f"expired on {authority.not_valid_after_utc:%Y-%m-%d} {clock}"
    if authority.not_valid_before_utc > now:
        return f"is not valid before {authority.not_valid_before_utc:%Y-%m-%d} {clock}"
    return ""


def _useless(file: Path, wrong: str, folder: Path) -> ProvisionError:
    return ProvisionError(
        f"{file} {wrong}",
        f"Restore it from a backup, or remove ca.pem and ca.key in {folder}: a new authority is made, and has to be "
        "trusted in place of the old one.",
    )


def last_day(pem: str) -> str:
    """Return the day (ISO 8601, UTC) on which the first certificate of a PEM text ends."""
    from cryptography.x509 import load_pem_x509_certificate

    return load_pem_x509_certificate(pem.encode()).not_valid_after_utc.date().isoformat()


def end_of(pem: str) -> datetime | None:
    """Return when the first certificate of a PEM text ends; None if there is none in it."""
    from cryptography.x509 import load_pem_x509_certificate

    try:
        return load_pem_x509_certificate(pem.encode()).not_valid_after_utc
    except ValueError:
        return None


def valid_until() -> str:
    """Return the day (ISO 8601, UTC) until which a certificate has to be valid today, so that it is not renewed."""
    return (datetime.now(UTC) + timedelta(days=RENEW_DAYS)).date().isoformat()


def signed_by(certificate: bytes, authority: str) -> bool:
    """Return whether a certificate (DER) was signed by an authority (PEM), whether or not it is still valid."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        signer = x509.load_pem_x509_certificate(authority.encode())
        x509.load_der_x509_certificate(certificate).verify_directly_issued_by(signer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _key() -> tuple[EllipticCurvePrivateKey, str]:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    return key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _authority(name: str) -> tuple[str, str]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    key, key_pem = _key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return cert.public_bytes(Encoding.PEM).decode(), key_pem


def _issue(
    names: tuple[str, ...],
    addresses: tuple[str, ...],
    authority: x509.Certificate,
    authority_key: EllipticCurvePrivateKey,
    *,
    mutual: bool,
) -> tuple[str, str]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key, key_pem = _key()
    now = datetime.now(UTC)
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    alternatives += [x509.IPAddress(ip_address(address)) for address in addresses]
    expires = authority.not_valid_after_utc if mutual else now + timedelta(days=CERTIFICATE_DAYS)
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, *([ExtendedKeyUsageOID.CLIENT_AUTH] if mutual else [])]
    cert = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, (*addresses, *names)[0])]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A node's clock may be a little behind when it starts.
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(expires)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return cert.public_bytes(Encoding.PEM).decode(), key_pem


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _is_valid(pem: bytes, addresses: tuple[str, ...], authority: x509.Certificate) -> bool:
    """Return whether a certificate is signed by this authority, has these addresses, and is valid now and for long."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        cert = x509.load_pem_x509_certificate(pem)
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        cert.verify_directly_issued_by(authority)
    except (ValueError, TypeError, x509.ExtensionNotFound, InvalidSignature):
        return False
    served = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    now = datetime.now(UTC)
    # One that begins later was made while the clock was ahead.
    lasts = cert.not_valid_before_utc <= now and cert.not_valid_after_utc > now + timedelta(days=RENEW_DAYS)
    return set(addresses) <= served and lasts
