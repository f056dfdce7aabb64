"""The inputs of a golden image, their hashes, and the paths of the results."""

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
"""Glance property that holds the hash of an image's inputs."""
UPLOADER_PROPERTY = "provision_uploader"
"""Glance property that says which machine uploads an image: what broke off is removed by that machine alone."""

SERVER_PROPERTY = "provision_server"
"""Glance property of an image that is a snapshot: the server that it was made of."""
BASE_PROPERTY = "provision_base"
"""And the stock image that the server was made of."""

GLANCE_PROPERTIES = {
    "os_distro": "debian",
    "os_type": "linux",
    "architecture": "x86_64",
    "hw_disk_bus": "virtio",
    "hw_vif_model": "virtio",
    "hw_rng_model": "virtio",
    "hw_qemu_guest_agent": "no",
}

# Builds the archive of Spark's classes (CDS), which takes minutes; none of our other files takes part in that.
_BUILD_CDS_ARCHIVE = "image/files/usr/local/lib/provision/build-cds-archive"
# Only these decide which software is in the image; what the other inputs make is added to it.
_SOFTWARE_INPUTS = (
    "bake/Dockerfile",
    "bake/entrypoint",
    "bake/software",
    "image/proxy/",
    "image/setup/software",
    "image/setup/spark/",
    _BUILD_CDS_ARCHIVE,
)
NODEJS = "nodejs"
# Stock images alone have a use for them.
_INSTALL = ("image/setup/install.py", "image/setup/clean")


@dataclass(frozen=True, slots=True)
class StockSystem:
    """A system whose cloud image can become a node."""

    python: str
    """The version of its Python."""
    lock: str
    """File of Python packages that are locked for its Python, beside software.yaml."""
    own_node: bool = True
    """Whether its Node.js is new enough for the Hub's proxy."""


@dataclass(frozen=True, slots=True)
class Software:
    """templates/image/software.yaml: what is installed in a golden image."""

    suite: str
    """The Debian release."""
    packages: tuple[str, ...]
    """Debian packages of every node."""
    boot: tuple[str, ...]
    """Those that the golden image boots with."""
    python_lock: str
    """File of locked Python packages, beside software.yaml; `tools_lock` is another."""
    python_requirements: tuple[str, ...]
    tools_lock: str
    proxy: str
    """Folder of the Hub's proxy, with its package-lock.json."""
    left_out: tuple[str, ...]
    """Paths of files in the packages that a node has no use for."""
    stock: Mapping[str, StockSystem]
    """The systems of stock images, as `ID-VERSION_ID` of /etc/os-release."""

    def stock_packages(self, system: StockSystem) -> tuple[str, ...]:
        """Return the packages that a stock image gets."""
        return tuple(name for name in self.packages if system.own_node or name != NODEJS)

    def common_stock_packages(self) -> tuple[str, ...]:
        """Return the packages that each stock image gets."""
        lists = [self.stock_packages(system) for system in self.stock.values()]
        return tuple(name for name in self.packages if all(name in each for each in lists))


@dataclass(frozen=True, slots=True)
class Recipe:
    """The hashes of a bake's inputs, 32 hex digits each."""

    software: str
    """Hash of the inputs that decide the software."""
    image: str
    """Hash of all inputs."""

    @property
    def root_uuid(self) -> str:
        """UUID of the root file system: the same for the same inputs, so that two bakes differ only in time stamps."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, self.image))


@dataclass(frozen=True, slots=True)
class ImagePaths:
    """A bake's files in the cache folder; a file without `.part` is complete."""

    downloads: Path
    software: Path
    image: Path


@dataclass(frozen=True, slots=True)
class ListedImage:
    """A golden image as `provision image list` shows it."""

    where: str
    """`cache`, or the name of a cloud."""
    name: str
    """A path in the cache, an id on a cloud."""
    inputs: str
    """The hash of its inputs."""
    size: int
    """Bytes."""
    status: str
    current: bool
    """Whether it was made from the present inputs."""


def read_software(text: str) -> Software:
    """Read software.yaml; raises ProvisionError that names a missing key."""
    document: Any = yaml.safe_load(text)
    try:
        return Software(
            suite=str(document["suite"]),
            packages=tuple(str(name) for name in document["packages"]),
            boot=tuple(str(name) for name in document["boot"]),
            python_lock=str(document["python"]["lock"]),
            python_requirements=tuple(str(line) for line in document["python"]["requirements"]),
            tools_lock=str(document["tools"]["lock"]),
            proxy=str(document["proxy"]["folder"]),
            left_out=tuple(str(path) for path in document["left_out"]),
            stock={
                str(name): StockSystem(
                    str(system["python"]), str(system["lock"]), own_node=system.get("node") != "tools"
                )
                for name, system in document["stock"].items()
            },
        )
    except (KeyError, TypeError) as error:
        raise ProvisionError(
            f"templates/image/software.yaml: {error} is missing", "Restore the file from the project."
        ) from error


def make_recipe(inputs: Mapping[str, bytes]) -> Recipe:
    """Hash the inputs: `bake/<file>` of compose/bake and `image/<file>` of templates/image, with their contents."""
    software = read_software(inputs["image/software.yaml"].decode())
    locks = (f"image/{software.python_lock}", f"image/{software.tools_lock}")
    decisive = {name: data for name, data in inputs.items() if name.startswith(_SOFTWARE_INPUTS) or name in locks}
    # The list's meaning, not its text: a new comment in it does not cost a new download.
    decisive["software.yaml"] = repr((software.suite, software.boot, software.packages, software.left_out)).encode()
    software_hash = _digest(decisive)
    not_in_it = {"image/software.yaml", *_INSTALL} | {f"image/{system.lock}" for system in software.stock.values()}
    rest = {name: data for name, data in inputs.items() if name not in not_in_it}
    return Recipe(software=software_hash, image=_digest({**rest, "software": software_hash.encode()}))


def image_paths(cache: Path, recipe: Recipe) -> ImagePaths:
    """Return the paths of a recipe's files in the cache folder."""
    return ImagePaths(
        downloads=cache / "downloads",
        software=cache / "software" / f"{recipe.software}.tar.zst",
        image=cache / "images" / f"{recipe.image}.qcow2",
    )


def _digest(parts: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(parts):
        # With the lengths in front, no two sets of files give the same bytes.
        digest.update(f"{len(name)}:{name}:{len(parts[name])}:".encode())
        digest.update(parts[name])
    return digest.hexdigest()[:32]
