"""When servers were made and what images are called, with an SDK of plain objects."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from openstack import exceptions as sdk

from provision.adapters.openstack.details import ServerTimes, image_name, image_names, server_times
from provision.adapters.openstack.session import Session
from provision.model.cluster.resources import META_CLUSTER


def cloud(**services):
    return Session("c", SimpleNamespace(**services))


def test_the_times_of_a_clusters_servers():
    servers = [
        SimpleNamespace(id="1", metadata={META_CLUSTER: "a"}, created_at="2026-03-01T12:00:00Z", launched_at=None),
        SimpleNamespace(id="2", metadata={META_CLUSTER: "b"}, created_at="x", launched_at="y"),
        SimpleNamespace(id="3", metadata=None, created_at="x", launched_at="y"),
    ]
    found = server_times(cloud(compute=SimpleNamespace(servers=lambda details: servers)), "a")
    assert found == {"1": ServerTimes("2026-03-01T12:00:00Z", "")}


@pytest.mark.parametrize("failure", [sdk.NotFoundException, sdk.ForbiddenException])
def test_an_image_that_is_gone_has_no_name(failure):
    def get_image(image):
        if image == "gone":
            raise failure
        return SimpleNamespace(name="debian-13")

    asked = cloud(image=SimpleNamespace(get_image=get_image))
    assert image_name(asked, "i") == "debian-13"
    assert image_name(asked, "gone") == ""
    assert image_name(asked, "") == ""


def test_images_are_named_once():
    listed = [SimpleNamespace(name=name) for name in ("ubuntu", "debian", None, "debian")]
    assert image_names(cloud(image=SimpleNamespace(images=lambda status: listed))) == ("debian", "ubuntu")
