"""What a host lacks, and which of its containers do not stay up."""

from __future__ import annotations

import pytest
import yaml

from provision.model.localcloud import host
from provision.model.localcloud.host import ServiceState


@pytest.mark.parametrize(
    ("bounding", "lacking"),
    [(0x1FFFFFFFFFF, []), (0x1FFFEFFFFFF, ["SYS_RESOURCE"]), (0x1FFFEFEFFFF, ["SYS_MODULE", "SYS_RESOURCE"])],
)
def test_containers_are_refused_what_the_host_lacks(bounding, lacking):
    assert host.lacking_capabilities(bounding) == lacking
    override = yaml.safe_load(host.hypervisor_override(lacking, kvm=True, modules=True))["services"]
    assert override["switch"].get("cap_drop", []) == lacking
    assert override["libvirt"]["devices"] == ["/dev/kvm"]
    assert "devices" not in override["switch"]
    plain = yaml.safe_load(host.hypervisor_override(lacking, kvm=False, modules=False))["services"]
    assert not {key for body in plain.values() for key in body} - {"cap_drop"}


@pytest.mark.parametrize(
    ("states", "before", "failing"),
    [
        ([ServiceState("a", "a-1", "running")], {}, None),
        ([ServiceState("a", "a-1", "running"), ServiceState("b", "b-1", "exited", 1)], {}, "b"),
        ([ServiceState("a", "a-1", "restarting", 1, restarts=2)], {}, None),
        ([ServiceState("a", "a-1", "restarting", 1, restarts=3)], {}, "a"),
        ([ServiceState("a", "a-1", "running", restarts=9)], {"a-1": 8}, None),
    ],
)
def test_a_service_that_does_not_stay_up_is_found(states, before, failing):
    found = host.failed(states, before)
    assert (found.service if found else None) == failing
