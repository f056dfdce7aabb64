"""What a backup of the `local` cloud consists of, and whether a file is one, whole and unchanged; touches nothing.

A backup is a tar.gz of plain files and, last, their list: `manifest.json`. What is not in it follows from what is:
rendered configuration; OVN's databases (Neutron's own is the truth, and OVN's are repaired from it); Consul's catalogue
and its keys (who is up, and who started the database last: true only for the containers of that moment).
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
"""Changes when an older `provision` could not read what a newer one writes."""
_READ: Final = (1, FORMAT)
"""The first knew nothing of an authority."""
MANIFEST: Final = "manifest.json"
PASSWORDS: Final = "passwords.json"
DATABASES: Final = "databases.sql"
KEYS: Final = "keystone/"
"""Keystone's fernet and credential keys, as they lie in its data folder."""
IDENTITIES: Final = "hypervisors/"
"""`hypervisors/compute-1/compute_id`: a hypervisor that lost who it is in the databases does not start."""
AUTHORITY: Final = "tls/"
"""What has signed HAProxy's certificate: whoever trusts it shall trust the cloud that is restored."""
IMAGES: Final = "images/"
KEY_FOLDERS: Final = ("fernet-keys", "credential-keys")
_KEY_PASSWORDS: Final = dict(zip(KEY_FOLDERS, ("keystone_fernet", "keystone_credential"), strict=True))
"""On several hosts the keys are passwords, which every copy of Keystone is given (compose/keystone/entrypoint)."""
_OWN: Final = ("registry",)
"""What belongs to the hosts, and not to the data: it stays when other data comes."""
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
    """A file of a backup: its length in bytes, and its SHA-256 in hex."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The list of a backup's files, and what made it."""

    created: str
    version: str
    """Of `provision`."""
    inputs: Mapping[str, str]
    """What each family's database was migrated with (`model/localcloud/settings.py::migration_inputs`)."""
    files: Mapping[str, ArchiveEntry]

    @property
    def images(self) -> bool:
        """Whether Glance's image files are in it."""
        return any(name.startswith(IMAGES) for name in self.files)

    def text(self) -> str:
        """Write it."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"


def read_manifest(text: bytes) -> Manifest:
    """Read a backup's list; raises UsageError for one that this version cannot read."""
    try:
        known: dict[str, Any] = json.loads(text)
        made_by = known["format"]
        if made_by in _READ:
            files = {
                str(name): ArchiveEntry(int(one["size"]), str(one["sha256"])) for name, one in known["files"].items()
            }
            inputs = {str(family): str(value) for family, value in known["inputs"].items()}
            return Manifest(str(known["created"]), str(known["version"]), inputs, files)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError("its list of files cannot be read", "take another copy of this file") from None
    raise UsageError(
        f"it is of format {made_by}, and this `provision` reads formats up to {FORMAT}",
        f"use the `provision` that made it (version {known.get('version', 'unknown')}), or a newer one",
    )


def verify(manifest: Manifest | None, found: Mapping[str, ArchiveEntry]) -> Manifest:
    """Compare what a file holds with its list; raises UsageError with the first thing that is not as it was written."""
    if manifest is None:
        raise UsageError("it has no list of files: it is no backup, or was cut off", "take another copy of this file")
    for name, entry in manifest.files.items():
        if name not in found:
            _refuse(f"{name} is missing in it")
        if found[name] != entry:
            _refuse(f"{name} in it is not what was written")
    for name in found:
        if name not in manifest.files:
            _refuse(f"{name} in it was not written by `provision cloud backup`")
        if not belongs(name):
            _refuse(f"{name} in it has no place in a backup")
    for name in (PASSWORDS, DATABASES):
        if name not in found:
            _refuse(f"{name} is missing in it")
    return manifest


def belongs(name: str) -> bool:
    """Whether a file of this name has a place in a backup."""
    return bool(_NAMES.fullmatch(name))


def _refuse(problem: str) -> None:
    raise UsageError(problem, "nothing was changed; take another copy of this file")


def key_files(passwords: Mapping[str, str]) -> dict[str, str]:
    """Write the keys that are passwords as the files that one machine has: the one in use, and the next."""
    return {f"{KEYS}{folder}/{number}": passwords[name] for folder, name in _KEY_PASSWORDS.items() for number in (0, 1)}


def passwords_for_hosts(files: Mapping[str, bytes], own: Mapping[str, str]) -> dict[str, str]:
    """Merge a backup's passwords with those that stay; each kind's key is the one that was in use: the highest."""
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
    """Find a user's numbers in /etc/passwd; raises KeyError."""
    for line in passwd.splitlines():
        words = line.split(":")
        if words[0] == user:
            return int(words[2]), int(words[3])
    raise KeyError(user)
