"""Where a host's images come from: its own engine, the registry, or a build."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from provision.base.progress import Silent
from provision.model.localcloud import image_families
from provision.operations.localcloud.shared.images import contexts
from provision.operations.localcloud.swarm import files

TAGS = image_families.image_tags(contexts())
FAMILIES = ("base", "os", "registry", "ovn", "neutron")


def name(family):
    return image_families.image_name(family, TAGS)


class FakeSwarm:
    def __init__(self, *in_registry):
        self.there, self.pushed = set(in_registry), []

    def pull(self, image):
        return image in self.there

    def push(self, image):
        self.pushed.append(image)
        return f"127.0.0.1:5001/{image}@sha256:ab"


class FakeEngine:
    def __init__(self, *here):
        self.here = set(here)

    def images(self):
        return self.here


@pytest.mark.parametrize(
    ("here", "registry", "built"),
    [
        ((), (), ["neutron", "ovn", "registry"]),
        (("registry",), ("ovn", "neutron"), []),
        # What is fetched stands on layers of its own: nothing below it is built.
        (("registry", "ovn"), ("neutron",), []),
        (("registry", "ovn"), (), ["neutron"]),
    ],
)
def test_only_what_nobody_has_is_built(monkeypatch, here, registry, built):
    asked = []
    monkeypatch.setattr(files, "ensure_images", lambda engine, progress, names: asked.append(list(names)))
    swarm = FakeSwarm(*map(name, registry))
    tags, images = files.ensure_built(FakeEngine(*map(name, here)), swarm, Silent(), FAMILIES)
    assert (asked, tags) == ([built], TAGS)
    assert swarm.pushed == sorted(map(name, ("registry", "ovn", "neutron")))
    assert images[name("ovn")].endswith("@sha256:ab")
    # Each host has made its own: a tag is what they have in common.
    assert images[name("registry")] == f"127.0.0.1:5001/{name('registry')}"


def test_what_earlier_versions_needed_is_removed_from_this_host(monkeypatch):
    done = []
    engine = SimpleNamespace(drop_superseded=lambda tags: done.append(("images", tags)))
    stack = SimpleNamespace(installation="installation", tags=TAGS)
    monkeypatch.setattr(files, "drop_unused", lambda engine, installation: done.append(("documents", installation)))
    files.drop_leftovers(engine, stack)
    assert done == [("documents", "installation"), ("images", TAGS)]
