"""Bake the golden image, and have it on a cloud: both only when their inputs changed."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from provision.adapters.docker import image_builder
from provision.adapters.docker.engine import Engine
from provision.adapters.host.files import exclusive_lock
from provision.base import paths
from provision.model.image.recipe import Listed, Places, Recipe, places, recipe, software
from provision.model.localcloud.image_families import image_name
from provision.model.localcloud.settings import LABEL
from provision.operations.localcloud.shared.images import ensure_images

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from provision.adapters.openstack.cloud import Cloud
    from provision.base.progress import Progress

ITEM = "golden image"


def bake(progress: Progress) -> Path:
    """Return the golden image's qcow2 for today's inputs, baked if it is not in the cache.

    Raises ProvisionError with the bake's last lines when a step or a download fails.
    """
    inputs = image_builder.inputs()
    made = recipe(inputs)
    cache = paths.cache_dir()
    place = places(cache, made)
    if place.image.exists():
        progress.update(ITEM, "baked already")
        return place.image
    with exclusive_lock(cache / "bake.lock", lambda: progress.update(ITEM, "another bake is running: waiting for it")):
        if not place.image.exists():  # the other one may have baked this very image
            _bake(inputs, made, place, cache, progress)
    return place.image


def ensure_image(cloud: Cloud, progress: Progress) -> str:
    """Return the id of the golden image on a cloud: the one that is there for today's inputs, or a new upload."""
    from provision.adapters.openstack import images  # it imports the SDK: 0.4 s that a bake need not pay

    made = recipe(image_builder.inputs())
    here = images.golden_images(cloud)
    for image in here:
        if image.inputs == made.image and image.status == "active":
            progress.update(ITEM, "on the cloud already")
            return image.id
    path = bake(progress)
    for image in here:
        # What an interrupted upload left; it never becomes active, and holds its name and quota.
        if image.status in {"queued", "saving"}:
            images.delete(cloud, image.id)
    began = time.monotonic()
    progress.update(ITEM, f"uploading {path.stat().st_size / 1e6:.0f} MB")
    image_id = images.upload(cloud, path, made.image)
    progress.update(ITEM, f"uploaded in {time.monotonic() - began:.0f} s")
    return image_id


def find_image(cloud: Cloud) -> str | None:
    """Return the id of the golden image on a cloud for today's inputs; None when it is not there."""
    from provision.adapters.openstack import images

    made = recipe(image_builder.inputs())
    found = (
        image.id for image in images.golden_images(cloud) if image.inputs == made.image and image.status == "active"
    )
    return next(found, None)


def on_disk() -> list[Listed]:
    """List the finished images in this machine's cache, the newest first."""
    made = recipe(image_builder.inputs())
    files = sorted((paths.cache_dir() / "images").glob("*.qcow2"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [
        Listed("cache", str(path), path.stem, path.stat().st_size, "baked", path.stem == made.image) for path in files
    ]


def on_cloud(name: str) -> list[Listed]:
    """List the golden images of our project on the cloud `name` of clouds.yaml, the newest first."""
    from provision.adapters.openstack import images
    from provision.adapters.openstack.cloud import connect

    made = recipe(image_builder.inputs())
    return [
        Listed(name, image.id, image.inputs, image.size, image.status, image.inputs == made.image)
        for image in images.golden_images(connect(name))
    ]


def _bake(inputs: Mapping[str, bytes], made: Recipe, place: Places, cache: Path, progress: Progress) -> None:
    began = time.monotonic()
    image_builder.tidy(cache)
    tags = ensure_images(Engine(), progress, {"bake"})
    listed = software(inputs["image/software.yaml"].decode())
    settings = {"suite": listed.suite, "packages": "\n".join(listed.packages) + "\n", "uuid": made.root_uuid}

    def run(*stage: str) -> None:
        image_builder.bake(
            stage,
            builder=image_name("bake", tags),
            labels=[LABEL],
            files=inputs,
            settings=settings,
            cache=cache,
            line=lambda text: _report(progress, text),
        )

    for folder in (place.software.parent, place.image.parent):
        folder.mkdir(parents=True, exist_ok=True)
    packed = f"/out/{place.software.relative_to(cache)}"
    if not place.software.exists():
        run("software", packed)
    run("image", packed, f"/out/{place.image.relative_to(cache)}")
    megabytes = place.image.stat().st_size / 1e6
    progress.update(ITEM, f"baked in {time.monotonic() - began:.0f} s, {megabytes:.0f} MB")


def _report(progress: Progress, line: str) -> None:
    if step := re.match(r"bake: (.+) \(\d+ s\)$", line):
        progress.update(ITEM, step[1])
