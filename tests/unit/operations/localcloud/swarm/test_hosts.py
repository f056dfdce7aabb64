"""Hosts that come and go, with a Swarm that is a list."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from provision.base import paths
from provision.base.errors import ProvisionError, UsageError
from provision.base.progress import Silent
from provision.model.localcloud.settings import Settings
from provision.model.localcloud.status import HypervisorStatus, ServiceStatus
from provision.model.localcloud.swarm import Host
from provision.operations.localcloud.shared import installation
from provision.operations.localcloud.swarm import down, files, hypervisor
from provision.operations.localcloud.swarm import hosts as swarm_hosts
from provision.operations.localcloud.swarm import up as swarm_up
from provision.operations.localcloud.swarm.status import SwarmStatus

SHARED = {"passwords.json": '{"provision": "p"}', "choices.json": '{"swarm": true, "ha": true}'}


class FakeSwarm:
    """A Swarm as this machine, `me`, sees it."""

    def __init__(self, *hosts, me="id1", active=True):
        self.known = {host.id: host for host in hosts}
        self.me, self.active, self.left = me, active, False
        self.services = {}
        self.done = []

    def state(self):
        return ("active", True) if self.active else ("inactive", False)

    def host_id(self):
        return self.me

    def hosts(self):
        return tuple(self.known.values())

    def give_member(self, host, member):
        self.known[host] = replace(self.known[host], member=member)

    def begin(self, address):
        self.active = True
        self.known[self.me] = Host(self.me, "host-1", address, True)

    def join(self, token, address, own):
        self.active = True
        self.done.append(("join", token, address, own))
        self.known[self.me] = Host(self.me, "new", own, True)

    def leave(self):
        self.left = True

    def wanted(self):
        return self.services

    def address(self, service):
        return "192.0.2.9"

    def container(self, service):
        return f"container-{service}"

    def token(self):
        return "TOKEN"

    def __getattr__(self, name):
        return lambda *words: self.done.append((name, *words))


class FakeEngine:
    def __init__(self, shared):
        self.shared = shared

    def purge(self, line):
        line("nothing")

    def host(self):
        return "host-1"

    def states(self, project=""):
        return []

    def remove_bridge(self, bridge):
        pass

    def execute(self, container, argv):
        return (0, json.dumps(self.shared)) if self.shared else (1, "")


def host(number, member=0, **more):
    return Host(f"id{number}", more.pop("name", f"host-{number}"), f"192.0.2.{number}", True, member)


@pytest.fixture(name="world")
def _world(monkeypatch, tmp_path):
    """Run commands against one FakeSwarm; what builds and renders is left out."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))

    def use(swarm, shared=None):
        monkeypatch.setattr(swarm_hosts, "door", lambda _: swarm)
        monkeypatch.setattr(swarm_hosts, "Engine", lambda: FakeEngine(shared))
        monkeypatch.setattr(swarm_hosts.compose, "require", lambda: None)
        monkeypatch.setattr(swarm_hosts, "_prepare", lambda *_: {})
        monkeypatch.setattr(swarm_hosts, "_LIMIT", 0)
        monkeypatch.setattr(down, "_RELEASE", 0)
        monkeypatch.setattr(swarm_hosts.time, "sleep", lambda _: None)
        return swarm

    return use


def install(settings):
    installation.save_settings(settings)
    installation.ensure_private(paths.localcloud_dir() / "compose.env", "")


def test_a_machine_with_a_cloud_of_its_own_is_neither_a_beginning_nor_a_guest(world):
    world(FakeSwarm(host(1)))
    install(Settings())
    for run in (lambda: swarm_hosts.begin(Silent(), "192.0.2.1"), lambda: swarm_hosts.join(Silent(), "T", "192.0.2.1")):
        with pytest.raises(UsageError, match="has a local cloud of its own"):
            run()


def test_a_host_that_joins_gets_the_installation_and_a_member(world):
    swarm = world(
        FakeSwarm(host(1, 1), me="id2", active=False),
        SHARED | {"../evil": "no"},
    )
    swarm_hosts.join(Silent(), "T", "192.0.2.1", "192.0.2.2")
    assert ("join", "T", "192.0.2.1", "192.0.2.2") in swarm.done
    assert swarm.known["id2"].member == 2
    assert installation.load_settings().swarm
    assert installation.load_settings().ha
    assert "local" in paths.clouds_yaml().read_text()
    assert not (paths.localcloud_dir() / "../evil").exists()
    # Once more: nothing is left to do.
    before = list(swarm.done)
    swarm_hosts.join(Silent(), "T", "192.0.2.1", "192.0.2.2")
    assert (swarm.done, swarm.known["id2"].member) == (before, 2)


def test_a_host_that_is_not_handed_the_installation_says_so(world):
    world(FakeSwarm(host(1, 1), me="id2", active=False))
    with pytest.raises(ProvisionError, match="the installation's files"):
        swarm_hosts.join(Silent(), "T", "192.0.2.1", "192.0.2.2")


def test_a_host_by_the_name_of_another_is_not_taken(world):
    swarm = world(FakeSwarm(host(1, 1, name="new"), me="id2", active=False), SHARED)
    with pytest.raises(UsageError, match="another host of the Swarm is called new"):
        swarm_hosts.join(Silent(), "T", "192.0.2.1", "192.0.2.2")
    assert swarm.left


def test_two_hosts_that_join_at_once_do_not_carry_the_same_member(world):
    swarm = world(FakeSwarm(host(1, 1), host(2, 2), host(3, 2), me="id3"), SHARED)
    swarm_hosts.join(Silent(), "T", "192.0.2.1")
    assert {each.name: each.member for each in swarm.hosts()} == {"host-1": 1, "host-2": 2, "host-3": 3}


def test_a_fourth_host_carries_none(world):
    swarm = world(FakeSwarm(*(host(n, n) for n in (1, 2, 3)), host(4), me="id4"), SHARED)
    swarm_hosts.join(Silent(), "T", "192.0.2.1")
    assert swarm.known["id4"].member == 0


def test_a_member_s_host_leaves_only_while_the_others_are_a_majority(world, monkeypatch):
    swarm = world(FakeSwarm(*(host(n, n) for n in (1, 2, 3))))
    install(Settings(ha=True, swarm=True))
    swarm.services, missing = {"mariadb": 1}, ["mariadb (2 of 3 serve)"]
    monkeypatch.setattr(swarm_hosts, "lacking", lambda *_: "".join(missing))
    with pytest.raises(UsageError, match=r"mariadb \(2 of 3 serve\).*no majority"):
        swarm_hosts.leave(Silent())
    assert not swarm.left
    assert installation.load_settings().swarm
    missing.clear()
    swarm_hosts.leave(Silent())
    assert swarm.left
    assert not installation.load_settings().swarm
    assert not paths.localcloud_dir().exists()


def test_one_machine_is_told_that_it_is_in_no_swarm(world):
    world(FakeSwarm())
    with pytest.raises(UsageError, match="belongs to no Swarm"):
        swarm_hosts.leave(Silent())


@pytest.mark.parametrize("words", [["glance=2"], ["neutron-periodic=2"], ["ovn=2"]])
def test_what_has_one_host_has_no_copies_on_others(world, words):
    world(FakeSwarm())
    with pytest.raises(UsageError, match=r"cannot have (copies|replicas)"):
        swarm_up.scale(Silent(), words)


def test_a_host_may_be_left_without_guests_and_no_other_host_hears_of_it(world):
    world(FakeSwarm(host(1, 1), me="id2", active=False), SHARED)
    assert hypervisor.carries_guests()
    swarm_hosts.join(Silent(), "T", "192.0.2.1", "192.0.2.2", guests=False)
    assert not hypervisor.carries_guests()
    assert not {each for each in files._FILES if "hypervisor" in each}
    # To be asked otherwise the next time.
    swarm_hosts.join(Silent(), "T", "192.0.2.1", "192.0.2.2")
    assert hypervisor.carries_guests()


def test_the_last_hosts_hypervisor_takes_the_networks_along(world, monkeypatch):
    swarm = world(FakeSwarm(host(1, 1)))
    swarm.remove_networks = lambda: "in use"
    said = []
    progress = Silent()
    progress.note = said.append
    down._remove_networks(swarm, progress)
    assert "Hypervisors of other hosts" in said[0]


def line(service, running, wanted=1, **more):
    return ServiceStatus(service, wanted, running, None, ("sha256:ab",), "", ("host-1",), **more)


def test_a_status_is_up_when_hosts_copies_and_apis_all_are():
    up = SwarmStatus((host(1, 1),), (line("keystone", 1),), {"keystone": ""})
    assert up.up
    assert "Everything is up." in up.text()
    away = replace(host(2, 2), ready=False)
    for less in (
        replace(up, hosts=(host(1, 1), away)),
        replace(up, services=(line("keystone", 1), line("glance", 0, problem="no suitable node"))),
        replace(up, apis={"keystone": "no connection"}),
        replace(up, apis={}),
    ):
        assert not less.up
        assert not less.document()["up"]
        assert "Everything is up." not in less.text()
    hypervisors = (HypervisorStatus("host-1", ()), HypervisorStatus("host-2", ("its nova-compute is reported down",)))
    assert replace(up, hypervisors=hypervisors[:1]).up
    less = replace(up, hypervisors=hypervisors)
    assert not less.up
    assert "hypervisor host-2  its nova-compute is reported down" in less.text()
    assert [each["up"] for each in less.document()["hypervisors"]] == [True, False]
    assert "host-2  192.0.2.2  away  member 2" in replace(up, hosts=(away,)).text()
    assert "glance: no suitable node" in replace(up, services=(line("glance", 0, problem="no suitable node"),)).text()


def test_down_keeps_the_registry_and_purge_keeps_nothing(world, monkeypatch):
    swarm = world(FakeSwarm(*(host(n, n) for n in (1, 2, 3))))
    monkeypatch.setattr(down, "door", lambda _: swarm)
    monkeypatch.setattr(down, "Engine", lambda: FakeEngine(None))
    monkeypatch.setattr(swarm, "container", lambda _: "")
    install(Settings(ha=True, swarm=True))
    swarm.services = {"keystone": 2, "registry": 1, "mirror": 3}
    down.stop_swarm(Silent(), purge=False)
    assert swarm.done == [("remove", {"keystone"})]
    assert installation.load_settings().swarm
    swarm.done.clear()
    monkeypatch.setattr(swarm, "remove_networks", lambda: "", raising=False)
    down.stop_swarm(Silent(), purge=True)
    assert swarm.done[0] == ("remove", {"keystone", "registry", "mirror"})
    assert not paths.localcloud_dir().exists()
