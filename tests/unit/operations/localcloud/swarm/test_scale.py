"""More and fewer replicas on several hosts."""

from __future__ import annotations

import pytest

from provision.base.errors import UsageError
from provision.base.progress import Silent
from provision.operations.localcloud.swarm import scale


@pytest.mark.parametrize("words", [["glance=2"], ["neutron-workers=2"], ["ovn=2"]])
def test_what_has_one_host_has_no_replicas_on_others(words):
    with pytest.raises(UsageError, match="cannot have"):
        scale.scale(Silent(), words)


def test_the_numbers_are_brought_up(monkeypatch):
    asked = []
    monkeypatch.setattr(scale, "up", lambda progress, replicas: asked.append(replicas))
    scale.scale(Silent(), ["nova-api=3", "keystone=2"])
    assert asked == [{"nova-api": 3, "keystone": 2}]
