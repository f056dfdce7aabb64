"""Golden images in Glance, with an SDK of plain objects."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from openstack.exceptions import ForbiddenException, HttpException

from provision.adapters.openstack import images
from provision.adapters.openstack.session import Session, TransientError
from provision.base.errors import ProvisionError
from provision.model.image.recipe import BASE_PROPERTY, HASH_PROPERTY, IMAGE_NAME, SERVER_PROPERTY


class Glance:
    def __init__(self):
        self.listed = []
        self.status = "active"
        self.errors = []
        self.calls = []

    def fail(self):
        if self.errors:
            raise self.errors.pop(0)

    def images(self, **query):
        self.fail()
        self.calls.append(query)
        return self.listed

    def create_image(self, name, **options):
        self.fail()
        self.calls.append((name, options))
        return SimpleNamespace(id="new")

    def get_image(self, image_id):
        return SimpleNamespace(id=image_id, status=self.status)

    def delete_image(self, image_id, *, ignore_missing):
        self.fail()
        self.calls.append((image_id, ignore_missing))


@pytest.fixture(name="glance")
def _glance():
    return Glance()


@pytest.fixture(name="cloud")
def _cloud(glance):
    return Session("test", SimpleNamespace(image=glance, current_project_id="p"))


def listed(id_, created, properties, owner="p"):
    return SimpleNamespace(
        owner_id=owner,
        id=id_,
        status="active",
        properties=properties,
        size=None,
        created_at=created,
        min_disk=None,
        min_ram=None,
    )


def test_the_newest_of_this_project_come_first(cloud, glance):
    glance.listed = [listed("a", "2026-01-01", {HASH_PROPERTY: "x"}), listed("b", "2026-02-01", None)]
    # A cloud that ignores the filter.
    glance.listed.append(listed("c", "2026-03-01", None, owner="another project"))
    assert images.golden_images(cloud) == [
        images.CloudImage("b", "active", "", 0, "2026-02-01"),
        images.CloudImage("a", "active", "x", 0, "2026-01-01"),
    ]
    assert glance.calls == [{"name": IMAGE_NAME, "owner": "p"}]


def test_an_upload_carries_the_hash_of_its_inputs(cloud, glance, tmp_path):
    assert images.upload(cloud, tmp_path / "a.qcow2", "x", "me") == "new"
    ((name, options),) = glance.calls
    assert name == IMAGE_NAME
    assert options[HASH_PROPERTY] == "x"
    assert options["visibility"] == "private"


def test_an_upload_that_does_not_become_active_fails(cloud, glance, tmp_path):
    glance.status = "killed"
    with pytest.raises(ProvisionError, match="`killed` after its upload"):
        images.upload(cloud, tmp_path / "a.qcow2", "x", "me")


def test_a_snapshot_is_a_golden_image_as_soon_as_it_is_active(glance):
    asked = []

    class Nova:
        default_microversion = "2.45"
        retriable_status_codes = None

        def get_endpoint_data(self):
            return SimpleNamespace(min_microversion="2.1", max_microversion="2.90")

        def post(self, url, *, json, **_):
            asked.append((url, json["createImage"]))
            return SimpleNamespace(status_code=202, headers={}, json=lambda: {"image_id": "new"})

    cloud = Session("test", SimpleNamespace(image=glance, compute=Nova(), current_project_id="p"))
    assert images.snapshot(cloud, "vm", "x", "debian-13") == "new"
    ((url, options),) = asked
    assert (url, options["name"]) == ("servers/vm/action", IMAGE_NAME)
    wanted = {HASH_PROPERTY: "x", SERVER_PROPERTY: "vm", BASE_PROPERTY: "debian-13", "os_distro": "debian"}
    assert wanted.items() <= options["metadata"].items()
    assert not [name for name in options["metadata"] if name.startswith("hw_")], "those are the stock image's own"


def test_an_image_that_is_gone_can_be_deleted(cloud, glance):
    images.delete(cloud, "a")
    assert glance.calls == [("a", True)]


def attempts(cloud, folder):
    return (
        lambda: images.golden_images(cloud),
        lambda: images.upload(cloud, folder / "a.qcow2", "x", "me"),
        lambda: images.delete(cloud, "a"),
    )


def test_a_refusal_is_ours(cloud, glance, tmp_path):
    glance.errors = [ForbiddenException("no")] * 3
    for attempt in attempts(cloud, tmp_path):
        with pytest.raises(ProvisionError, match="the cloud said: no") as caught:
            attempt()
        assert "a role that may do that" in caught.value.hint


def test_a_moment_s_failure_is_repeated_but_for_an_upload(cloud, glance, tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    for attempt in attempts(cloud, tmp_path)[::2]:
        glance.errors = [HttpException("later", http_status=503), HttpException("later", http_status=429)]
        attempt()
        assert not glance.errors
    glance.errors = [HttpException("later", http_status=503)]
    with pytest.raises(TransientError):
        images.upload(cloud, tmp_path / "a.qcow2", "x", "me")
