"""What a cloud's Neutron has beside its core."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from openstack import exceptions as sdk

from provision.adapters.openstack.extensions import Extensions
from provision.base.errors import ProvisionError


def cloud_with(known):
    return Extensions("test", SimpleNamespace(network=SimpleNamespace(extensions=known)))


@pytest.mark.parametrize(
    ("extensions", "network", "router", "floating"),
    [([], False, False, False), (["tag", "tag-ext"], True, True, False), (["standard-attr-tag"], True, True, True)],
)
def test_extensions_are_asked_for_once(extensions, network, router, floating):
    asked = []

    def known():
        asked.append(1)
        return [SimpleNamespace(alias=alias) for alias in extensions]

    cloud = cloud_with(known)
    found = cloud.kinds_with_tags()
    assert [kind in found for kind in ("network", "router", "floating IP")] == [network, router, floating]
    assert cloud.kinds_with_tags() == found
    assert cloud.extensions() == set(extensions)
    assert len(asked) == 1


@pytest.mark.parametrize("aliases", [[], ["router", "standard-attr-description"]])
def test_marks_are_descriptions(aliases):
    cloud = cloud_with(lambda: [SimpleNamespace(alias=alias) for alias in aliases])
    assert cloud.has_marks() is bool(aliases)


def test_a_refusal_is_said_in_words():
    def refuse():
        raise sdk.ForbiddenException("not for you")

    with pytest.raises(ProvisionError, match="listing Neutron's extensions: the cloud said: not for you"):
        cloud_with(refuse).extensions()
