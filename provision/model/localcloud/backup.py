"""The format of a backup of the `local` cloud, and the check that a file is complete and unchanged.

A backup is a tar.gz of plain files; the last one is their list, `manifest.json`. It leaves out what can be derived:
rendered configuration, OVN's databases (they are repaired from Neutron's), and Consul's catalogue and keys (they
describe only the containers of that moment).
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from provision.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT: Final = 2
"""Increased when an older `provision` could not read the new format."""
_READ: Final = (1, FORMAT)
"""Format 1 had no CA."""
MANIFEST: Final = "manifest.json"
PASSWORDS: Final = "passwords.json"
DATABASES: Final = "databases.sql"
KEYS: Final = "keystone/"
"""Keystone's fernet and credential keys, with their paths in its data folder."""
IDENTITIES: Final = "hypervisors/"
"""`hypervisors/compute-1/compute_id`: nova-compute does not start without the id that the databases know."""
AUTHORITY: Final = "tls/"
"""CA that signed HAProxy's certificate: clients that trust it also trust the restored cloud."""
IMAGES: Final = "images/"
KEY_FOLDERS: Final = ("fernet-keys", "credential-keys")
_KEY_PASSWORDS: Final = dict(zip(KEY_FOLDERS, ("keystone_fernet", "keystone_credential"), strict=True))
"""On several hosts the keys are passwords that all replicas of Keystone get (compose/keystone/entrypoint)."""
_OWN: Final = ("registry",)
"""Passwords that belong to the hosts, not to the data: a restore keeps them."""
AUTHORITY_FILES: Final = ("ca.pem", "ca.key")

_NAMES: Final = re.compile(
    r"passwords\.json|databases\.sql"
    rf"|keystone/({'|'.join(KEY_FOLDERS)})/\d+"
    r"|hypervisors/\w[\w.-]*/compute_id"
    rf"|tls/({'|'.join(map(re.escape, AUTHORITY_FILES))})"
    r"|images/[\w-]+"
)


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """A file of a backup: its size in bytes, and its SHA-256 in hex."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The list of a backup's files, and when and by which version it was made."""

    created: str
    version: str
    """Version of `provision`."""
    inputs: Mapping[str, str]
    """What each family's database was migrated with (`model/localcloud/render.py::migration_inputs`)."""
    files: Mapping[str, ArchiveEntry]

    @property
    def images(self) -> bool:
        """Whether it contains Glance's image files."""
        return any(name.startswith(IMAGES) for name in self.files)

    def text(self) -> str:
        """Write it as JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"


def read_manifest(text: bytes) -> Manifest:
    """Read a backup's list; raises UsageError for one that this version cannot read."""
    try:
        known: dict[str, Any] = json.loads(text)
        made_by = known["format"]
        if made_by in _READ:
            files = {
                str(name): ArchiveEntry(int(entry["size"]), str(entry["sha256"]))
                for name, entry in known["files"].items()
            }
            inputs = {str(family): str(value) for family, value in known["inputs"].items()}
            return Manifest(str(known["created"]), str(known["version"]), inputs, files)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError("its list of files cannot be read", "Use another copy of this file.") from None
    raise UsageError(
        f"it is of format {made_by}, and this `provision` reads formats up to {FORMAT}",
        f"Use the `provision` that made it (version {known.get('version', 'unknown')}), or a newer one.",
    )


def verify(manifest: Manifest | None, found: Mapping[str, ArchiveEntry]) -> Manifest:
    """Compare a backup's files with its list; raises UsageError for the first difference."""
    if manifest is None:
        raise UsageError("it has no list of files: it is no backup, or was cut off", "Use another copy of this file.")
    for name, entry in manifest.files.items():
        if name not in found:
            _refuse(f"{name} is missing in it")
        if found[name] != entry:
            _refuse(f"{name} in it has changed")
    for name in found:
        if name not in manifest.files:
            _refuse(f"{name} in it was not written by `provision cloud backup`")
        if not belongs(name):
            _refuse(f"{name} in it does not belong in a backup")
    for name in (PASSWORDS, DATABASES):
        if name not in found:
            _refuse(f"{name} is missing in it")
    return manifest


def belongs(name: str) -> bool:
    """Whether a backup may contain a file of this name."""
    return bool(_NAMES.fullmatch(name))


def _refuse(problem: str) -> None:
    raise UsageError(problem, "Nothing was changed. Use another copy of this file.")


def key_files(passwords: Mapping[str, str]) -> dict[str, str]:
    """Return Keystone's keys, which are passwords on several hosts, as one machine's files: current and next key."""
    return {f"{KEYS}{folder}/{number}": passwords[name] for folder, name in _KEY_PASSWORDS.items() for number in (0, 1)}


def passwords_for_hosts(files: Mapping[str, bytes], own: Mapping[str, str]) -> dict[str, str]:
    """Merge a backup's passwords with the hosts' own. Each kind's key is the one that was in use: the highest."""
    known: dict[str, str] = json.loads(files[PASSWORDS])
    for folder, name in _KEY_PASSWORDS.items():
        numbers = [int(each.rpartition("/")[2]) for each in files if each.startswith(f"{KEYS}{folder}/")]
        if numbers:
            known[name] = files[f"{KEYS}{folder}/{max(numbers)}"].decode().strip()
    return known | {name: own[name] for name in _OWN if name in own}


def outdated(manifest: Manifest, inputs: Mapping[str, str]) -> list[str]:
    """Name the families whose databases `provision cloud up` has to migrate after this backup is restored."""
    return sorted(family for family, value in inputs.items() if manifest.inputs.get(family) != value)


def user_id(passwd: str, user: str) -> tuple[int, int]:
    """Find a user's uid and gid in /etc/passwd; raises KeyError."""
    for line in passwd.splitlines():
        words = line.split(":")
        if words[0] == user:
            return int(words[2]), int(words[3])
    raise KeyError(user)
