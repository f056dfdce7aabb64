"""A golden image that is baked beside other work: the local cloud's start, and the making of a cluster's network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from provision.adapters.docker import image_builder
from provision.base import paths
from provision.base.constants import LOCAL_CLOUD
from provision.base.threads import start
from provision.model.image.recipe import image_paths, make_recipe
from provision.operations.image import bake

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from provision.adapters.openstack.cloud import Cloud
    from provision.base.model import ClusterSpec
    from provision.base.progress import Progress


class BakeBeside:
    """A bake that goes on beside other work: as a context manager, it ends one that nobody has waited for."""

    def __init__(self, progress: Progress) -> None:
        """Begin nothing yet."""
        self._progress = progress
        self._begun: list[Future[Path]] = []

    def begin(self) -> None:
        """Begin it, if it is not begun."""
        if not self._begun:
            self._begun.append(start(lambda: bake.bake(self._progress)))

    def wait(self) -> None:
        """Wait until it is done, if it was begun. Raises what the bake raises."""
        for result in self._begun:
            result.result()

    def find(self, cloud: Cloud, spec: ClusterSpec) -> str:
        """Return the id of the golden image on a cloud. Where there is none, begin to bake it, and return nothing.

        Raises UsageError where the spec's nodes cannot be made of it.
        """
        found = bake.find_image(cloud, lambda image: bake.check_fit(image, spec, cloud.flavors()))
        if not found:
            _check_engine()
            self.begin()
        return found

    def finish(self, cloud: Cloud) -> str:
        """Return the id of the golden image on a cloud, when it is baked and uploaded."""
        self.wait()
        return bake.ensure_image(cloud, self._progress)

    def __enter__(self) -> Self:
        """Let the other work begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the bake where the other work has failed, or needs no image."""
        if any(not result.done() for result in self._begun):  # else what runs now is another command's
            image_builder.stop()


def ensure_cloud(spec: ClusterSpec, progress: Progress, baking: BakeBeside, *, new: bool) -> None:
    """Start the local cloud if the spec asks for it and it does not run.

    A `new` cluster's golden image begins to be baked beside that: `finish` waits for it.
    """
    if spec.cloud != LOCAL_CLOUD:
        return
    # It imports the Docker SDK.
    from provision.operations.localcloud.local_cloud import local_cloud

    begin = baking.begin if new and spec.image.baked else lambda: None
    with progress.phase("Local cloud"):
        local_cloud().up(progress, checked=begin)


def _check_engine() -> None:
    """Raise what a bake would raise where there is no image in the cache, and no Docker engine to bake one."""
    if image_paths(paths.cache_dir(), make_recipe(image_builder.inputs())).image.exists():
        return
    from provision.adapters.docker.engine import Engine

    Engine()
