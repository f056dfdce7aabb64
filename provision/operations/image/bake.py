"""Bake the golden image, and upload it to a cloud: both only when its inputs changed."""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING

from provision.adapters.docker import image_builder
from provision.adapters.host.files import ensure_private, exclusive_lock
from provision.base import paths
from provision.base.errors import UsageError
from provision.model.image.recipe import ImagePaths, ListedImage, Recipe, image_paths, make_recipe, read_software
from provision.model.localcloud.image_families import image_name
from provision.model.localcloud.settings import LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from provision.adapters.openstack.cloud import Cloud
    from provision.adapters.openstack.images import CloudImage
    from provision.base.model import ClusterSpec, Flavor
    from provision.base.progress import Progress

ITEM = "golden image"


def bake(progress: Progress) -> Path:
    """Return the qcow2 of the golden image for the present inputs, baked if it is not in the cache.

    Raises ProvisionError with the bake's last lines when a step or a download fails.
    """
    inputs = image_builder.inputs()
    recipe = make_recipe(inputs)
    cache = paths.cache_dir()
    files = image_paths(cache, recipe)
    if files.image.exists():
        progress.update(ITEM, "baked already")
        return files.image
    with exclusive_lock(cache / "bake.lock", lambda: progress.update(ITEM, "another bake is running: waiting for it")):
        if not files.image.exists():  # the other bake may have made this very image
            _bake(inputs, recipe, files, cache, progress)
    return files.image


def ensure_image(cloud: Cloud, progress: Progress) -> str:
    """Return the id of the golden image for the present inputs on a cloud, baked and uploaded if it is missing."""
    from provision.adapters.openstack import images  # it imports the SDK: 0.4 s that a bake need not pay

    recipe = make_recipe(image_builder.inputs())
    if there := find_image(cloud):
        progress.update(ITEM, "on the cloud already")
        return there
    path = bake(progress)
    lock = paths.cache_dir() / "upload.lock"
    with exclusive_lock(lock, lambda: progress.update(ITEM, "another upload is running: waiting for it")):
        if found := find_image(cloud):  # the other upload may have been this very image
            return found
        uploader = _uploader()
        for image in images.golden_images(cloud):
            if image.status not in {"queued", "saving"}:
                continue
            if image.uploader == uploader:
                # Left by an interrupted upload of this machine: it never becomes active, and keeps its name and quota.
                images.delete(cloud, image.id)
            else:
                progress.note(f"Image {image.id} is being uploaded by another machine since {image.created}; it stays.")
        began = time.monotonic()
        progress.update(ITEM, f"uploading {path.stat().st_size / 1e6:.0f} MB")
        image_id = images.upload(cloud, path, recipe.image, uploader)
    progress.update(ITEM, f"uploaded in {time.monotonic() - began:.0f} s")
    return image_id


def _uploader() -> str:
    """Return the id that this machine's uploads carry, made once."""
    file = paths.cache_dir() / "uploader"
    if not file.exists():
        ensure_private(file, uuid.uuid4().hex)
    return file.read_text()


def find_image(cloud: Cloud, check: Callable[[CloudImage], None] = lambda _: None) -> str:
    """Return the id of the golden image for the present inputs on a cloud; empty if it is missing.

    `check` raises for one that is there and does not do.
    """
    found = golden_image(cloud)
    if found is None:
        return ""
    check(found)
    return found.id


def golden_image(cloud: Cloud) -> CloudImage | None:
    """Return the golden image for the present inputs on a cloud; one that was uploaded, if there is one."""
    from provision.adapters.openstack import images

    recipe = make_recipe(image_builder.inputs())
    golden = [image for image in images.golden_images(cloud) if image.inputs == recipe.image]
    active = [image for image in golden if image.status == "active"]
    return min(active, key=lambda image: bool(image.server), default=None)


def check_fit(image: CloudImage, spec: ClusterSpec, flavors: Mapping[str, Flavor]) -> None:
    """Raise UsageError for a golden image of which the spec's nodes cannot be made: a snapshot does less."""
    if image.server and spec.hub.limits.disk_mib is not None:
        raise UsageError(
            "hub.limits.disk: the golden image on this cloud is a snapshot of a stock image, whose file system does "
            "not count what its users have",
            f"Remove it, or delete image {image.id}: then `up` uploads the one that it bakes on this machine.",
        )
    for field, name in spec.flavors:
        if name in flavors and flavors[name].ram < image.min_ram:
            raise UsageError(
                f"{field}: {name} has {flavors[name].ram} MiB of memory, and the golden image on this cloud needs "
                f"{image.min_ram}",
                f"Choose a larger one, or `openstack image set --min-ram 0 {image.id}`.",
            )
        if name in flavors and flavors[name].disk < image.min_disk:
            raise UsageError(
                f"{field}: {name} has a disk of {flavors[name].disk} GiB, and the golden image on this cloud needs "
                f"{image.min_disk}: that of the server that it is a snapshot of",
                f"Choose a larger one, or delete image {image.id} and bake it again on a smaller --flavor.",
            )


def images_in_cache() -> list[ListedImage]:
    """List the finished images in this machine's cache, the newest first."""
    recipe = make_recipe(image_builder.inputs())
    files = sorted((paths.cache_dir() / "images").glob("*.qcow2"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [
        ListedImage("cache", str(path), path.stem, path.stat().st_size, "baked", path.stem == recipe.image)
        for path in files
    ]


def images_on_cloud(name: str) -> list[ListedImage]:
    """List the golden images of the project on the cloud `name` of clouds.yaml, the newest first."""
    from provision.adapters.openstack import images
    from provision.adapters.openstack.cloud import connect

    recipe = make_recipe(image_builder.inputs())
    return [
        ListedImage(name, image.id, image.inputs, image.size, image.status, image.inputs == recipe.image)
        for image in images.golden_images(connect(name))
    ]


def _bake(inputs: Mapping[str, bytes], recipe: Recipe, files: ImagePaths, cache: Path, progress: Progress) -> None:
    # Here, since `plan` and `up` import this module to look for an image: the Docker SDK takes 0.2 s.
    from provision.adapters.docker.engine import Engine
    from provision.operations.localcloud.shared.images import ensure_images

    began = time.monotonic()
    image_builder.tidy(cache)
    tags = ensure_images(Engine(), progress, {"bake"})
    software = read_software(inputs["image/software.yaml"].decode())
    packages = "\n".join((*software.boot, *software.packages)) + "\n"
    left_out = "".join(f"{path}\n" for path in software.left_out)
    settings = {"suite": software.suite, "packages": packages, "left_out": left_out, "uuid": recipe.root_uuid}

    for folder in (files.software.parent, files.image.parent):
        folder.mkdir(parents=True, exist_ok=True)
    image_builder.bake(
        files,
        builder=image_name("bake", tags),
        labels=[LABEL],
        files=inputs,
        settings=settings,
        cache=cache,
        line=lambda text: _report(progress, text),
    )
    megabytes = files.image.stat().st_size / 1e6
    progress.update(ITEM, f"baked in {time.monotonic() - began:.0f} s, {megabytes:.0f} MB")


def _report(progress: Progress, line: str) -> None:
    if step := re.match(r"bake: (.+) \(\d+ s\)$", line):
        progress.update(ITEM, step[1])
