"""What goes into a golden image, the hash of it, and where the results lie: pure."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from provision.base.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

IMAGE_NAME = "provision-golden"
HASH_PROPERTY = "provision_inputs"
"""The Glance property that tells which inputs an image was made from."""

GLANCE_PROPERTIES = {
    "os_distro": "debian",
    "os_type": "linux",
    "architecture": "x86_64",
    "hw_disk_bus": "virtio",
    "hw_vif_model": "virtio",
    "hw_rng_model": "virtio",
    "hw_qemu_guest_agent": "no",
}

# It makes the archive of Spark's classes: minutes of work that no other file of ours has a part in.
_TRAIN = "image/files/usr/local/lib/provision/build-cds-archive"
# Only these decide what software is in the image; all other inputs are put on top of it in the second stage.
_SOFTWARE_INPUTS = ("bake/Dockerfile", "bake/entrypoint", "bake/software", "image/proxy/", _TRAIN)


@dataclass(frozen=True, slots=True)
class Software:
    """templates/image/software.yaml as the bake reads it: names of packages, and of lock files beside it."""

    suite: str
    packages: tuple[str, ...]
    python_lock: str
    python_requirements: tuple[str, ...]
    tools_lock: str
    proxy: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """One bake: hashes of 32 hex digits, and the UUID of the root file system that the boot loader asks for."""

    software: str
    image: str

    @property
    def root_uuid(self) -> str:
        """The same for every bake of the same inputs, so that two bakes differ only in time stamps."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, self.image))


@dataclass(frozen=True, slots=True)
class Places:
    """Where a bake keeps its files below the cache folder; a file without `.part` is complete."""

    downloads: Path
    software: Path
    image: Path


@dataclass(frozen=True, slots=True)
class Listed:
    """A golden image as `provision image list` shows it; `size` in bytes, `name` a path or an id."""

    where: str
    name: str
    inputs: str
    size: int
    status: str
    current: bool


def software(text: str) -> Software:
    """Read software.yaml; raises ProvisionError naming the key that is missing."""
    document: Any = yaml.safe_load(text)
    try:
        return Software(
            suite=str(document["suite"]),
            packages=tuple(str(name) for name in document["packages"]),
            python_lock=str(document["python"]["lock"]),
            python_requirements=tuple(str(line) for line in document["python"]["requirements"]),
            tools_lock=str(document["tools"]["lock"]),
            proxy=str(document["proxy"]["folder"]),
        )
    except (KeyError, TypeError) as error:
        raise ProvisionError(
            f"templates/image/software.yaml: {error} is missing", "Restore the file from the project."
        ) from error


def recipe(inputs: Mapping[str, bytes]) -> Recipe:
    """Hash the inputs: `bake/<file>` of compose/bake and `image/<file>` of templates/image, with their contents."""
    listed = software(inputs["image/software.yaml"].decode())
    locks = (f"image/{listed.python_lock}", f"image/{listed.tools_lock}")
    chosen = {name: data for name, data in inputs.items() if name.startswith(_SOFTWARE_INPUTS) or name in locks}
    # The list's meaning, not its text: a new comment in it does not cost a new download.
    chosen["software.yaml"] = repr((listed.suite, listed.packages)).encode()
    first = _digest(chosen)
    rest = {name: data for name, data in inputs.items() if name != "image/software.yaml"}
    return Recipe(software=first, image=_digest({**rest, "software": first.encode()}))


def places(cache: Path, made: Recipe) -> Places:
    """Say where a recipe's files lie below the cache folder."""
    return Places(
        downloads=cache / "downloads",
        software=cache / "software" / f"{made.software}.tar.zst",
        image=cache / "images" / f"{made.image}.qcow2",
    )


def _digest(parts: Mapping[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name in sorted(parts):
        # Lengths first: no two sets of files give the same bytes.
        whole.update(f"{len(name)}:{name}:{len(parts[name])}:".encode())
        whole.update(parts[name])
    return whole.hexdigest()[:32]
