"""A cluster's folder on this machine: keys, certificate authority and first passwords, readable by the owner only.

Files that exist are kept, missing ones are made: after an interruption, `up` continues with the same secrets.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets as entropy
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from provision.adapters.host import process
from provision.adapters.host.certificates import ensure_certificate
from provision.adapters.host.files import ensure_private
from provision.base import paths
from provision.base.constants import FIRST_UID
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import Secrets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from provision.base.model import Addresses, ClusterSpec

PASSWORD_LETTERS: Final = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # noqa: S105 - an alphabet
"""Without 0, O, 1 and l: passwords are read from a screen and typed."""
PASSWORD_LENGTH: Final = 16


class ClusterDir:
    """One cluster's folder."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder: Path = paths.cluster_dir(name)

    @property
    def private_key(self) -> Path:
        """The operator's private key (OpenSSH format)."""
        return self.folder / "id_ed25519"

    @property
    def authority(self) -> Path:
        """CA certificate that signed the Hub's: browsers and curl have to trust it."""
        return self.folder / "ca.pem"

    @property
    def passwords(self) -> Path:
        """File of the users' first passwords: `user password` on each line."""
        return self.folder / "passwords"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the cluster for this command. Raises ProvisionError while another one on this machine has the lock."""
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
        """Return the operator's public key (`ssh-ed25519 AAAA…`); empty if there is no key yet."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

        try:
            pem = self.private_key.read_bytes()
        except FileNotFoundError:
            return ""
        try:
            key = load_ssh_private_key(pem, password=None)
        except ValueError as error:
            raise ProvisionError(
                f"{self.private_key} is not an OpenSSH key: {error}", "Restore it from a backup."
            ) from None
        return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

    def ensure_key(self) -> str:
        """Make the operator's key pair if it is missing; return the public key."""
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
        """Return the cluster's secrets, with a Hub certificate for these addresses; what is missing is made."""
        public = self.ensure_key()
        kept = self._kept()
        spark = kept.get("spark_secret") or entropy.token_hex(32)
        executors = kept.get("executor_key") or entropy.token_hex(32)
        hashes = self._users(spec, dict(kept.get("password_hashes", {})))
        uids = _uids(spec, dict(kept.get("uids", {})))
        secrets = {"spark_secret": spark, "executor_key": executors, "password_hashes": hashes, "uids": uids}
        ensure_private(self.folder / "secrets.json", json.dumps(secrets, indent=2) + "\n")
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
            executor_key=executors,
            uids=tuple((user.name, uids[user.name]) for user in spec.hub.users),
        )

    def remove(self) -> None:
        """Remove the folder and everything in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kept(self) -> dict[str, Any]:
        file = self.folder / "secrets.json"
        try:
            kept: dict[str, Any] = json.loads(file.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ProvisionError(f"{file} is not JSON: {error}", "Restore it from a backup.") from None
        return kept

    def _users(self, spec: ClusterSpec, hashes: dict[str, str]) -> dict[str, str]:
        """Make first passwords for users who have none; the plain text is written before its hash.

        The file of plain passwords may be removed once they are handed out: the hashes stay.
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
        names = (self.name, f"{self.name}-master", "localhost")
        wanted = (addresses.floating, addresses.master, "127.0.0.1")
        made = ensure_certificate(self.folder, "hub", f"provision cluster {self.name}", names, wanted)
        return made.cert, made.key, made.authority


def _read(path: Path, field: str) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{field}: {path} cannot be read: {error}", "Name a PEM file that you may read.") from None


def _uids(spec: ClusterSpec, uids: dict[str, int]) -> dict[str, int]:
    """Give each new user the next id; a user who was removed keeps theirs, so that no file changes hands."""
    uids = dict(uids)
    for user in spec.hub.users:
        uids.setdefault(user.name, max(uids.values(), default=FIRST_UID - 1) + 1)
    return uids


def _crypt(password: str) -> str:
    """Hash a password as /etc/shadow holds it (sha512-crypt)."""
    return process.run_checked(
        ["openssl", "passwd", "-6", "-stdin"],
        what="hashing a password",
        hint="Install the package `openssl`.",
        stdin=password + "\n",
        timeout=30,
    ).strip()
