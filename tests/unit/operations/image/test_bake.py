from __future__ import annotations

from dataclasses import replace

import pytest

from provision.adapters.docker import image_builder
from provision.adapters.openstack import images
from provision.adapters.openstack.images import CloudImage
from provision.base.errors import UsageError
from provision.base.model import ClusterSpec, Flavor, HubSpec, Limits, MasterSpec, WorkersSpec
from provision.base.progress import Silent
from provision.model.image.recipe import image_paths, make_recipe
from provision.operations.image import bake

NOW = make_recipe(image_builder.inputs())


class Cloud:
    """Stands for adapters/openstack/images.py."""

    def __init__(self, *here: CloudImage) -> None:
        self.here = list(here)
        self.done: list[tuple[str, str]] = []

    def golden_images(self, cloud):
        return self.here

    def upload(self, cloud, path, inputs, uploader):
        self.done.append(("upload", inputs))
        return "new"

    def delete(self, cloud, image_id):
        self.done.append(("remove", image_id))


def image(name, status="active", inputs=NOW.image, uploader="this machine"):
    return CloudImage(name, status, inputs, 1, "2026-01-01", uploader)


@pytest.fixture
def cached(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = image_paths(tmp_path / "provision", NOW)
    place.image.parent.mkdir(parents=True)
    place.image.write_bytes(b"qcow2")
    return place.image


@pytest.mark.parametrize(
    ("here", "result", "done"),
    [
        ([], "new", [("upload", NOW.image)]),
        ([image("old", inputs="other")], "new", [("upload", NOW.image)]),
        ([image("a")], "a", []),
        ([image("b", "queued"), image("a")], "a", []),
        (
            [image("b", "queued"), image("c", "saving")],
            "new",
            [("remove", "b"), ("remove", "c"), ("upload", NOW.image)],
        ),
        # An upload of a colleague, or of a release that did not say whose it is.
        ([image("b", "saving", uploader="other"), image("c", "queued", uploader="")], "new", [("upload", NOW.image)]),
        ([image("d", "deactivated")], "new", [("upload", NOW.image)]),
    ],
)
def test_uploads_only_what_is_not_there_and_removes_what_broke_off(cached, monkeypatch, here, result, done):
    cloud = Cloud(*here)
    for name in ("golden_images", "upload", "delete"):
        monkeypatch.setattr(images, name, getattr(cloud, name))
    (cached.parents[1] / "uploader").write_text("this machine")
    assert bake.ensure_image(None, Silent()) == result
    assert cloud.done == done


def test_an_uploaded_image_goes_before_a_snapshot(monkeypatch):
    cloud = Cloud(replace(image("snapshot"), server="vm"), image("uploaded"))
    monkeypatch.setattr(images, "golden_images", cloud.golden_images)
    assert bake.find_image(None) == "uploaded"


SMALL = ClusterSpec("a", master=MasterSpec("big"), workers=WorkersSpec(1, "small"))
FLAVORS = {"big": Flavor("big", 2, 4096, 20), "small": Flavor("small", 1, 2048, 10)}


def test_a_snapshot_needs_flavors_as_large_as_its_server(monkeypatch):
    bake.check_fit(replace(image("a"), server="vm", min_disk=10), SMALL, FLAVORS)
    cloud = Cloud(replace(image("a"), server="vm", min_disk=16))
    monkeypatch.setattr(images, "golden_images", cloud.golden_images)
    with pytest.raises(UsageError, match=r"workers.flavor: small has a disk of 10 GiB, .* needs 16"):
        bake.find_image(None, lambda image: bake.check_fit(image, SMALL, FLAVORS))


def test_nodes_need_the_memory_that_the_image_asks_for():
    bake.check_fit(replace(image("a"), min_ram=2048), SMALL, FLAVORS)
    with pytest.raises(UsageError, match=r"workers.flavor: small has 2048 MiB of memory, .* needs 4096") as caught:
        bake.check_fit(replace(image("a"), min_ram=4096), SMALL, FLAVORS)
    assert "--min-ram 0" in caught.value.hint


def test_a_snapshot_does_not_count_what_users_have():
    limited = replace(SMALL, hub=HubSpec(limits=Limits(disk_mib=1024)))
    bake.check_fit(image("a"), limited, FLAVORS)
    with pytest.raises(UsageError, match=r"hub.limits.disk: .* a snapshot"):
        bake.check_fit(replace(image("a"), server="vm"), limited, FLAVORS)


def test_a_cached_image_is_not_baked_again(cached):
    assert bake.bake(Silent()) == cached


def test_a_half_made_image_is_no_image(cached, monkeypatch):
    """A bake killed in the middle leaves `.part` files: they are removed, and the bake is run."""
    half = cached.with_name(cached.name + ".part")
    cached.rename(half)

    asked = []

    def run(made, **_):
        asked.append(made)
        made.software.write_bytes(b"packed")
        made.image.write_bytes(b"made")

    monkeypatch.setattr(image_builder, "bake", run)
    monkeypatch.setattr("provision.adapters.docker.engine.Engine", lambda: None)
    monkeypatch.setattr(
        "provision.operations.localcloud.shared.images.ensure_images", lambda engine, progress, names: {"bake": "123"}
    )
    assert bake.bake(Silent()) == cached
    assert asked == [image_paths(cached.parents[1], NOW)]
    assert (cached.read_bytes(), half.exists()) == (b"made", False)


def test_lists_what_is_in_the_cache_and_says_which_is_current(cached):
    (cached.parent / "0123.qcow2").write_bytes(b"old image")
    found = {one.inputs: one for one in bake.images_in_cache()}
    assert (found[NOW.image].current, found[NOW.image].size) == (True, 5)
    assert (found["0123"].current, found["0123"].size) == (False, 9)
