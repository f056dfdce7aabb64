"""A registry's images, and which of them go."""

from __future__ import annotations

import json

import pytest

from provision.adapters.docker.registry import Registry
from provision.base.errors import ProvisionError


class FakeRegistry(Registry):
    """A registry that is a table: repository -> tag or digest -> manifest."""

    def __init__(self, tags, listed=None):
        super().__init__("127.0.0.1:5001", "secret")
        self.tags, self.listed, self.deleted = tags, listed or {}, []

    def _request(self, method, path):
        if path == "_catalog":
            return Answer({"repositories": list(self.tags)})
        repository, _, rest = path.rpartition("/")
        repository = repository.rpartition("/")[0]
        if path.endswith("/tags/list"):
            # Docker's word for none.
            return Answer({"tags": list(self.tags[repository]) or None})
        if method == "DELETE":
            self.deleted.append((repository, rest))
        digest = self.tags[repository].get(rest, rest)
        return Answer({"manifests": [{"digest": each} for each in self.listed.get(digest, ())]}, digest)


class Answer:
    status_code = 200

    def __init__(self, document, digest=""):
        self.document, self.headers = document, {"Docker-Content-Digest": digest}

    def json(self):
        return self.document


def test_only_images_that_nobody_names_are_deleted():
    registry = FakeRegistry({
        "provision/nova": {"new": "sha256:n2", "old": "sha256:n1", "used": "sha256:n0"},
        "provision/registry": {"new": "sha256:r1"},
        "provision/empty": {},
    })  # fmt: skip
    kept = {
        "127.0.0.1:5001/provision/nova:new@sha256:n2",
        # A service of which no newer version was deployed.
        "127.0.0.1:5001/provision/nova:used@sha256:n0",
        "127.0.0.1:5001/provision/registry:new",
    }
    assert registry.drop_others(kept) == ["provision/nova:old"]
    assert registry.deleted == [("provision/nova", "sha256:n1")]


def test_an_image_by_another_name_and_what_a_tag_was_before_stay():
    registry = FakeRegistry({"provision/nova": {"new": "sha256:n2", "old": "sha256:n1", "other": "sha256:n2"}})
    # Since it was deployed, another host has pushed its own build.
    assert registry.drop_others({"127.0.0.1:5001/provision/nova:new@sha256:n1"}) == []
    assert registry.deleted == []


def test_the_parts_of_an_index_go_with_it_and_those_of_one_that_stays_do_not():
    tags = {"provision/nova": {"new": "sha256:i3", "old": "sha256:i2", "alike": "sha256:i1"}}
    parts = {"sha256:i3": ["sha256:a"], "sha256:i2": ["sha256:b"], "sha256:i1": ["sha256:a"]}
    registry = FakeRegistry(tags, parts)
    assert registry.drop_others({"127.0.0.1:5001/provision/nova:new@sha256:i3"}) == ["provision/nova:old"]
    assert registry.deleted == [("provision/nova", "sha256:i2"), ("provision/nova", "sha256:b")]


def test_it_is_asked_with_its_account_and_for_every_kind_of_manifest(http_server):
    http_server.answers = [(200, json.dumps({"repositories": ["provision/nova"]}).encode()), (404, b"{}")]
    assert Registry(http_server.url.removeprefix("http://"), "secret").drop_others(()) == []
    paths = [path for _, path, *_ in http_server.requests]
    assert paths == ["/v2/_catalog", "/v2/provision/nova/tags/list"]
    headers = http_server.requests[0][3]
    assert headers["Authorization"].startswith("Basic ")
    assert "vnd.oci.image.index.v1+json" in headers["Accept"]


@pytest.mark.parametrize("status", [401, 405, 500])
def test_a_refusal_is_said(http_server, status):
    http_server.status = status
    with pytest.raises(ProvisionError, match="does not answer as it should"):
        Registry(http_server.url.removeprefix("http://"), "").drop_others(())


def test_an_answer_that_is_none_is_said(http_server):
    http_server.body = b"<html>"
    with pytest.raises(ProvisionError, match="does not answer as it should"):
        Registry(http_server.url.removeprefix("http://"), "").drop_others(())
