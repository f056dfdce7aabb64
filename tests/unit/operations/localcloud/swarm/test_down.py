"""The control plane on several hosts stops; what stays, and what a purge removes."""

from __future__ import annotations

import pytest

from provision.base import paths
from provision.base.errors import ProvisionError, UsageError
from provision.base.progress import Silent
from provision.model.localcloud.settings import Settings
from provision.operations.localcloud.shared import installation
from provision.operations.localcloud.swarm import down

from .hosts_world import FakeSwarm, host, install, make_world  # noqa: F401


def test_the_last_hosts_hypervisor_takes_the_networks_along(world, monkeypatch):
    swarm = world(FakeSwarm(host(1, 1)))
    monkeypatch.setattr(swarm, "container", lambda _: "")
    monkeypatch.setattr(swarm, "remove_networks", lambda: "in use", raising=False)
    install(Settings(ha=True, swarm=True))
    notes = []
    progress = Silent()
    progress.note = notes.append
    down.down(progress, purge=True)
    assert "Hypervisors of other hosts" in notes[0]
    assert not paths.localcloud_dir().exists()


def test_down_keeps_the_registry_and_purge_keeps_nothing(world, monkeypatch):
    swarm = world(FakeSwarm(*(host(n, n) for n in (1, 2, 3))))
    monkeypatch.setattr(swarm, "container", lambda _: "")
    install(Settings(ha=True, swarm=True))
    swarm.services = {"keystone": 2, "registry": 1, "mirror": 3}
    down.down(Silent(), purge=False)
    assert swarm.done == [("remove", {"keystone"})]
    # No other host's `up` starts them meanwhile.
    assert (swarm.unlocked, swarm.locked) == ([], False)
    assert installation.load_settings().swarm
    swarm.done.clear()
    monkeypatch.setattr(swarm, "remove_networks", lambda: "", raising=False)
    down.down(Silent(), purge=True)
    assert swarm.done[0] == ("remove", {"keystone", "registry", "mirror"})
    assert not paths.localcloud_dir().exists()


def test_it_waits_until_this_hosts_containers_have_ended(world, monkeypatch):
    swarm = world(FakeSwarm(host(1, 1)))
    install(Settings(ha=True, swarm=True))
    swarm.services = {"keystone": 1}
    left = ["c1", "c1", ""]
    monkeypatch.setattr(swarm, "container", lambda _: left.pop(0))
    down.down(Silent(), purge=False)
    assert left == []
    monkeypatch.setattr(swarm, "container", lambda _: "c1")
    with pytest.raises(ProvisionError, match="still lacks: c1"):
        down.down(Silent(), purge=False)


def test_one_machine_is_told_that_it_is_in_no_swarm(world):
    world(FakeSwarm())
    with pytest.raises(UsageError, match="belongs to no Swarm"):
        down.down(Silent(), purge=True)
