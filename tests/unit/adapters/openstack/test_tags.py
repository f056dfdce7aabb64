"""What a cloud's Neutron can tag."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from provision.adapters.openstack.tags import Tags


@pytest.mark.parametrize(
    ("extensions", "network", "router", "floating"),
    [([], False, False, False), (["tag", "tag-ext"], True, True, False), (["standard-attr-tag"], True, True, True)],
)
def test_kinds_are_asked_for_once(extensions, network, router, floating):
    asked = []

    def known():
        asked.append(1)
        return [SimpleNamespace(alias=alias) for alias in extensions]

    cloud = Tags("test", SimpleNamespace(network=SimpleNamespace(extensions=known)))
    found = cloud.kinds_with_tags()
    assert [kind in found for kind in ("network", "router", "floating IP")] == [network, router, floating]
    assert cloud.kinds_with_tags() is found
    assert len(asked) == 1
