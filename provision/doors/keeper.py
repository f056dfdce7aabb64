"""The cluster's folder on this machine: its keys, its certificate authority, its users' first passwords (0700/0600).

What is there is kept, what is missing is made: a killed `up` goes on with the same secrets.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets as entropy
import shutil
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, Final

from provision.base import paths
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import Secrets
from provision.doors import process
from provision.doors.files import ensure_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from provision.base.model import Addresses, ClusterSpec

AUTHORITY_DAYS: Final = 3650
# Browsers refuse certificates for longer.
CERTIFICATE_DAYS: Final = 397
RENEW_DAYS: Final = 30
PASSWORD_LETTERS: Final = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # noqa: S105 - an alphabet
"""Without 0 and O, 1 and l: they are read from a screen and typed."""
PASSWORD_LENGTH: Final = 16


class Keeper:
    """One cluster's folder."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder: Path = paths.cluster_dir(name)

    # The names that the other doors use too (ssh, ansible).
    @property
    def private_key(self) -> Path:
        """The operator's private key (OpenSSH format)."""
        return self.folder / "id_ed25519"

    @property
    def authority(self) -> Path:
        """The certificate that signed the Hub's: what a browser or curl is told to trust."""
        return self.folder / "ca.pem"

    @property
    def passwords(self) -> Path:
        """The users' first passwords, one `user password` a line."""
        return self.folder / "passwords"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the cluster for one command at a time on this machine; raises ProvisionError when another has it."""
        self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Beside the folder: `down` removes the folder while it holds the lock.
        handle = os.open(self.folder.parent / f".{self.name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ProvisionError(
                    f"another `provision` is at work on cluster {self.name}", "Wait for it, or stop it first."
                ) from None
            yield
        finally:
            os.close(handle)

    def public_key(self) -> str:
        """Return the operator's public key (`ssh-ed25519 AAAA…`), empty when there is no key yet."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

        try:
            pem = self.private_key.read_bytes()
        except FileNotFoundError:
            return ""
        try:
            key = load_ssh_private_key(pem, password=None)
        except ValueError as error:
            raise ProvisionError(f"{self.private_key} is no OpenSSH key: {error}", "Restore it from a copy.") from None
        return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

    def ensure_key(self) -> str:
        """Make the operator's key pair if there is none; return the public key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        if not self.private_key.exists():
            key = Ed25519PrivateKey.generate()
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
            ensure_private(self.private_key, pem.decode())
        public = self.public_key()
        ensure_private(self.folder / "id_ed25519.pub", f"{public} provision-{self.name}\n")
        return public

    def ensure_secrets(self, spec: ClusterSpec, addresses: Addresses) -> Secrets:
        """Make what is missing of the cluster's secrets, and a Hub certificate for its addresses; return them all."""
        public = self.ensure_key()
        kept = self._kept()
        spark = kept.get("spark_secret") or entropy.token_hex(32)
        hashes = self._users(spec, dict(kept.get("password_hashes", {})))
        ensure_private(
            self.folder / "secrets.json",
            json.dumps({"spark_secret": spark, "password_hashes": hashes}, indent=2) + "\n",
        )
        if spec.hub.tls:
            cert = _read(spec.hub.tls.cert, "hub.tls.cert")
            key, authority = _read(spec.hub.tls.key, "hub.tls.key"), cert
        else:
            cert, key, authority = self._certificate(addresses)
        return Secrets(
            spark_secret=spark,
            hub_cert=cert,
            hub_key=key,
            authority=authority,
            password_hashes=tuple((user.name, hashes[user.name]) for user in spec.hub.users),
            operator_public_key=public,
        )

    def remove(self) -> None:
        """Remove the folder and all in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kept(self) -> dict[str, Any]:
        file = self.folder / "secrets.json"
        try:
            kept: dict[str, Any] = json.loads(file.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ProvisionError(f"{file} is no JSON: {error}", "Restore it from a copy.") from None
        return kept

    def _users(self, spec: ClusterSpec, hashes: dict[str, str]) -> dict[str, str]:
        """Make first passwords for users who have none; the plain text is written before its hash is.

        The file of plain passwords may be removed by hand once they are handed out: the hashes stay.
        """
        try:
            plain = dict(line.split(maxsplit=1) for line in self.passwords.read_text().splitlines() if line.strip())
        except FileNotFoundError:
            plain = {}
        new = [user.name for user in spec.hub.users if user.name not in hashes]
        for name in new:
            if name not in plain:
                plain[name] = "".join(entropy.choice(PASSWORD_LETTERS) for _ in range(PASSWORD_LENGTH))
        if new:
            ensure_private(self.passwords, "".join(f"{name} {password}\n" for name, password in sorted(plain.items())))
        return hashes | {name: _crypt(plain[name]) for name in new}

    def _certificate(self, addresses: Addresses) -> tuple[str, str, str]:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from cryptography.x509 import load_pem_x509_certificate

        authority_key_file = self.folder / "ca.key"
        if not (self.authority.exists() and authority_key_file.exists()):
            pem, key_pem = _authority(self.name)
            # The key first: a certificate without its key is made anew, and nobody trusts it yet.
            ensure_private(authority_key_file, key_pem)
            ensure_private(self.authority, pem)
        authority_pem = self.authority.read_text()
        cert_file, key_file = self.folder / "hub.pem", self.folder / "hub.key"
        names = (self.name, f"{self.name}-master", "localhost")
        wanted = (addresses.floating, addresses.master, "127.0.0.1")
        if not (cert_file.exists() and key_file.exists() and _serves(cert_file.read_bytes(), wanted)):
            authority = load_pem_x509_certificate(authority_pem.encode())
            authority_key = load_pem_private_key(authority_key_file.read_bytes(), password=None)
            cert, key = _issue(names, wanted, authority, authority_key)  # type: ignore[arg-type]
            ensure_private(key_file, key)
            ensure_private(cert_file, cert)
        return cert_file.read_text(), key_file.read_text(), authority_pem


def _read(path: Path, field: str) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{field}: {path} cannot be read: {error}", "Give a PEM file that you may read.") from None


def _crypt(password: str) -> str:
    """Hash a password as /etc/shadow holds it (sha512-crypt)."""
    return process.must(
        ["openssl", "passwd", "-6", "-stdin"],
        what="hashing a password",
        hint="Install the package `openssl`.",
        stdin=password + "\n",
        timeout=30,
    ).strip()


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
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"provision cluster {name}")])
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
) -> tuple[str, str]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key, key_pem = _key()
    now = datetime.now(UTC)
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    alternatives += [x509.IPAddress(IPv4Address(address)) for address in addresses]
    cert = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, addresses[0])]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A node's clock may be a little behind when it starts.
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
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


def _serves(pem: bytes, addresses: tuple[str, ...]) -> bool:
    """Whether a certificate is for these addresses and good for a while yet."""
    from cryptography import x509

    try:
        cert = x509.load_pem_x509_certificate(pem)
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    served = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return set(addresses) <= served and cert.not_valid_after_utc > datetime.now(UTC) + timedelta(days=RENEW_DAYS)
