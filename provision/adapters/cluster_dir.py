"""A cluster's folder on this machine: keys, certificate authority and first passwords, readable by the owner only.

Files that exist are kept, missing ones are made: after an interruption, `up` continues with the same secrets.

A folder belongs to the project that its `cloud.json` names. The first cluster of a name has `clusters/NAME`, one of the
same name in another project `clusters/NAME@CLOUD`. A folder of an older release, which names none, belongs to the
project that holds its key pair.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import secrets as entropy
import shutil
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from provision.adapters.host import process
from provision.adapters.host.certificates import ensure_certificate
from provision.adapters.host.files import ensure_private, read_json
from provision.base import paths
from provision.base.constants import FIRST_GID, FIRST_UID
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import CloudProject, Secrets
from provision.model.cluster.resources import hub_name, master_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from provision.base.model import Addresses, ClusterSpec, Login

PASSWORD_LETTERS: Final = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # noqa: S105 - an alphabet
"""Without 0, O, 1 and l: passwords are read from a screen and typed."""
PASSWORD_LENGTH: Final = 16
_PLACE: Final = ("cloud", "auth_url", "project", "region")
_KINDS: Final[dict[str, type]] = {"password_hashes": dict, "uids": dict, "gids": dict} | dict.fromkeys(_PLACE, str)
"""What the fields of cloud.json and secrets.json hold."""


class ClusterDir:
    """One cluster's folder."""

    def __init__(self, name: str, folder: Path | None = None) -> None:
        """Use the folder of the first cluster of this name unless `folder` is given."""
        self.name = name
        self.folder: Path = folder or paths.cluster_dir(name)

    @classmethod
    def at(cls, name: str, place: CloudProject, key: Callable[[], str]) -> ClusterDir:
        """Return the folder, which need not exist, of the cluster in a project that holds the public key `key()`.

        The key is asked for only where no folder says whose it is.
        """
        first = cls(name)
        others = [cls(name, folder) for folder in sorted(first.folder.parent.glob(f"{name}@*"))]
        for made in (first, *others):
            if (kept := made.place()) and kept.same(place):
                return made
        if first.unclaimed or (first.place() is None and first.public_key() == key()):
            return first
        cloud = quote(place.cloud, safe="")
        names = itertools.chain([f"{name}@{cloud}"], (f"{name}@{cloud}-{number}" for number in itertools.count(2)))
        return next(cls(name, folder) for each in names if not (folder := first.folder.with_name(each)).exists())

    @property
    def unclaimed(self) -> bool:
        """Whether no project has the folder yet: it goes to the first one that asks."""
        return self.place() is None and not self.private_key.exists()

    def place(self) -> CloudProject | None:
        """Return the project that the folder belongs to; None if it does not say."""
        kept = self._json("cloud.json")
        return CloudProject(**{field: kept.get(field, "") for field in _PLACE}) if kept else None

    def claim(self, place: CloudProject) -> None:
        """Note the project that the folder belongs to, before the first key. Raises ProvisionError for another."""
        kept = self.place()
        if kept and not kept.same(place):
            raise ProvisionError(
                f"{self.folder} belongs to cloud {kept.cloud!r} (project {kept.project})", "Run the same command again."
            )
        self._note(place, removing=False)

    def begin_removal(self, place: CloudProject) -> None:
        """Note that the cluster is being removed: once the cloud shows nothing of it, the folder may go."""
        self._note(place, removing=True)

    @property
    def removing(self) -> bool:
        """Whether a removal has begun, and no `up` has followed."""
        return bool(self._json("cloud.json").get("removing"))

    def _note(self, place: CloudProject, *, removing: bool) -> None:
        data = asdict(place) | ({"removing": True} if removing else {})
        ensure_private(self.folder / "cloud.json", json.dumps(data, indent=2) + "\n")

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
        handle = os.open(self.folder.parent / f".{self.folder.name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
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
        kept = self._json("secrets.json")
        spark = kept.get("spark_secret") or entropy.token_hex(32)
        executors = kept.get("executor_key") or entropy.token_hex(32)
        hashes = self._users(spec, dict(kept.get("password_hashes", {})))
        uids = _ids((user.name for user in spec.hub.users), dict(kept.get("uids", {})), FIRST_UID)
        gids = _ids(spec.hub.groups, dict(kept.get("gids", {})), FIRST_GID)
        login = self.login_secret(spec.hub.login)
        secrets = {
            "spark_secret": spark,
            "executor_key": executors,
            "login_secret": login,
            "password_hashes": hashes,
            "uids": uids,
            "gids": gids,
        }
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
            login_secret=login,
            uids=tuple((user.name, uids[user.name]) for user in spec.hub.users),
            gids=tuple((group, gids[group]) for group in spec.hub.groups),
        )

    def login_secret(self, login: Login | None) -> str:
        """Return what the Hub shows to the login server: from its file or variable, else as it is kept here.

        Raises UsageError where it is nowhere.
        """
        source = login.server.secret if login else None
        if source is None:
            return ""
        text = os.environ.get(source.variable, "") if source.variable else ""
        if source.file:
            try:
                text = source.file.read_text()
            except (OSError, UnicodeDecodeError) as error:
                hint = "Name a file that you may read, with the secret and nothing else in it."
                raise UsageError(f"{source.field}: {source.file} cannot be read: {error}", hint) from None
        text = text.strip() or ("" if source.file else str(self._json("secrets.json").get("login_secret", "")))
        if not text:
            where = source.file or f"the variable {source.variable}"
            raise UsageError(
                f"{source.field}: {where} is empty", "Put the secret there, and run the same command again."
            )
        return text

    def secret_values(self) -> set[str]:
        """Return the secrets that are kept here, to leave them out of what is shown."""
        kept = self._json("secrets.json")
        return {
            *(str(kept[name]) for name in ("spark_secret", "executor_key", "login_secret") if kept.get(name)),
            *dict(kept.get("password_hashes", {})).values(),
            *self._first_passwords().values(),
        }

    def spark_secret(self) -> str:
        """Return the secret of Spark on the cluster's nodes; empty if this machine has none."""
        return str(self._json("secrets.json").get("spark_secret", ""))

    def remove(self) -> None:
        """Remove the folder and everything in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _json(self, name: str) -> dict[str, Any]:
        file = self.folder / name
        kept = read_json(file)
        for field, kind in _KINDS.items():
            if not isinstance(kept.get(field, kind()), kind):
                raise ProvisionError(f"{file}: {field} is not what was written there", "Restore it from a backup.")
        return kept

    def note_password(self, user: str, hashed: str) -> None:
        """Note the crypt(3) hash of a password that the operator has set, for an account on a new master.

        The first password goes from the file of passwords: it holds no longer.
        """
        kept = self._json("secrets.json")
        kept["password_hashes"] = dict(kept.get("password_hashes", {})) | {user: hashed}
        ensure_private(self.folder / "secrets.json", json.dumps(kept, indent=2) + "\n")
        plain = self._first_passwords()
        if plain.pop(user, None) is not None:
            self._write_first_passwords(plain)

    def forget_passwords(self, users: Iterable[str]) -> None:
        """Remove the passwords of users who are gone: whoever comes back gets a new first one. Their ids stay."""
        kept, plain, gone = self._json("secrets.json"), self._first_passwords(), set(users)
        hashes = dict(kept.get("password_hashes", {}))
        if gone & hashes.keys():
            kept["password_hashes"] = {name: text for name, text in hashes.items() if name not in gone}
            ensure_private(self.folder / "secrets.json", json.dumps(kept, indent=2) + "\n")
        if gone & plain.keys():
            self._write_first_passwords({name: text for name, text in plain.items() if name not in gone})

    def _first_passwords(self) -> dict[str, str]:
        try:
            lines = self.passwords.read_text().splitlines()
        except FileNotFoundError:
            return {}
        except UnicodeDecodeError:
            raise ProvisionError(f"{self.passwords} is not UTF-8 text", "Restore it from a backup.") from None
        pairs = [(number, line.split(maxsplit=1)) for number, line in enumerate(lines, 1) if line.strip()]
        for number, pair in pairs:
            if len(pair) != 2:
                raise ProvisionError(
                    f"{self.passwords}:{number}: the line is not a user and a password", "Remove it, or complete it."
                )
        return dict(pair for _, pair in pairs)

    def _write_first_passwords(self, plain: Mapping[str, str]) -> None:
        ensure_private(self.passwords, "".join(f"{name} {password}\n" for name, password in sorted(plain.items())))

    def _users(self, spec: ClusterSpec, hashes: dict[str, str]) -> dict[str, str]:
        """Make first passwords for users who have none; the plain text is written before its hash.

        The file of plain passwords may be removed once they are handed out: the hashes stay.
        """
        plain = self._first_passwords()
        new = [user.name for user in spec.hub.users if user.name not in hashes]
        for name in new:
            if name not in plain:
                plain[name] = make_password()
        if new:
            self._write_first_passwords(plain)
        return hashes | {name: crypt(plain[name]) for name in new}

    def _certificate(self, addresses: Addresses) -> tuple[str, str, str]:
        node = hub_name(self.name) if addresses.own_hub else master_name(self.name)
        names = (self.name, node, "localhost")
        wanted = (addresses.floating, addresses.hub, "127.0.0.1")
        made = ensure_certificate(self.folder, "hub", f"provision cluster {self.name}", names, wanted)
        return made.cert, made.key, made.authority


def make_password() -> str:
    """Make a password that nobody guesses."""
    return "".join(entropy.choice(PASSWORD_LETTERS) for _ in range(PASSWORD_LENGTH))


def _read(path: Path, field: str) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{field}: {path} cannot be read: {error}", "Name a PEM file that you may read.") from None


def _ids(names: Iterable[str], kept: dict[str, int], first: int) -> dict[str, int]:
    """Give each new name the next id; one that was removed keeps its own, so that no file changes hands."""
    ids = dict(kept)
    for name in names:
        ids.setdefault(name, max(ids.values(), default=first - 1) + 1)
    return ids


def crypt(password: str) -> str:
    """Hash a password as /etc/shadow holds it (sha512-crypt)."""
    return process.run_checked(
        ["openssl", "passwd", "-6", "-stdin"],
        what="hashing a password",
        hint="Install the package `openssl`.",
        stdin=password + "\n",
        timeout=30,
    ).strip()
