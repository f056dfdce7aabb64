"""A Swarm is created, and hosts join and leave it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from provision.adapters.consul.http import ConsulUnavailableError
from provision.base import paths
from provision.base.errors import ProvisionError, UsageError
from provision.base.poll import Pending
from provision.base.progress import Silent
from provision.model.localcloud import swarm as swarm_module
from provision.model.localcloud.settings import CLUSTERED, Settings
from provision.model.localcloud.swarm import Host
from provision.operations.localcloud.shared import installation
from provision.operations.localcloud.swarm import files, hosts, hypervisor

from ..consul_keys import ConsulKeys
from .hosts_world import SHARED, FakeSwarm, host, install, make_world  # noqa: F401


def test_a_machine_with_a_cloud_of_its_own_is_neither_a_beginning_nor_a_guest(world):
    world(FakeSwarm(host(1)))
    install(Settings())
    for run in (lambda: hosts.init(Silent(), "192.0.2.1"), lambda: hosts.join(Silent(), "T", "192.0.2.1")):
        with pytest.raises(UsageError, match="has a local cloud of its own"):
            run()


def test_a_host_that_joins_gets_the_installation_and_a_member(world):
    swarm = world(
        FakeSwarm(host(1, 1), me="id2", active=False),
        SHARED | {"../evil": "no"},
    )
    hosts.join(Silent(), "T", "192.0.2.1", "192.0.2.2")
    assert ("join", "T", "192.0.2.1", "192.0.2.2") in swarm.done
    assert (swarm.known["id2"].member, swarm.unlocked, swarm.locked) == (2, [], False)
    assert installation.load_settings().swarm
    assert installation.load_settings().ha
    assert "local" in paths.clouds_yaml().read_text()
    assert not (paths.localcloud_dir() / "../evil").exists()

    # Once more: nothing is left to do.
    def changes():
        # An image's name is set again, whatever it was.
        return [step for step in swarm.done if step[0] not in ("tag", "ensure_resolver_file")]

    before = changes()
    hosts.join(Silent(), "T", "192.0.2.1", "192.0.2.2")
    assert (changes(), swarm.known["id2"].member) == (before, 2)


def test_a_host_that_is_not_handed_the_installation_says_so(world):
    world(FakeSwarm(host(1, 1), me="id2", active=False))
    with pytest.raises(ProvisionError, match="the local cloud's files"):
        hosts.join(Silent(), "T", "192.0.2.1", "192.0.2.2")


def test_a_host_by_the_name_of_another_is_not_taken(world):
    swarm = world(FakeSwarm(host(1, 1, name="new"), me="id2", active=False), SHARED)
    with pytest.raises(UsageError, match="another host of the Swarm is called new"):
        hosts.join(Silent(), "T", "192.0.2.1", "192.0.2.2")
    assert swarm.left


def test_a_host_that_was_refused_once_may_come_back_under_its_name(world):
    gone = Host("id9", "new", "192.0.2.9", ready=False)
    swarm = world(FakeSwarm(host(1, 1), gone, me="id2", active=False), SHARED)
    hosts.join(Silent(), "T", "192.0.2.1", "192.0.2.2")
    assert (swarm.known["id2"].member, swarm.left) == (2, False)
    # One that is away for a while, and has data.
    swarm.known["id9"] = Host("id9", "new", "192.0.2.9", ready=False, member=3)
    with pytest.raises(UsageError, match="another host of the Swarm is called new"):
        hosts.join(Silent(), "T", "192.0.2.1", "192.0.2.2")


@pytest.mark.parametrize(("mtu", "asked"), [(1500, 1500), (1450, 1450), (9000, 1500), (0, 1500)])
def test_networks_are_made_for_the_packets_of_the_hosts_own(world, mtu, asked):
    swarm = world(FakeSwarm(host(1, 1)))
    swarm.mtu, swarm.network, settings = mtu, asked - 50, Settings(swarm=True)
    hosts.ensure_networks(swarm, settings)
    made = [(swarm_module.NETWORK, settings.management, asked), (swarm_module.TUNNEL, settings.tunnel, asked)]
    assert swarm.done == [("ensure_network", *each) for each in made]


@pytest.mark.parametrize(("active", "left"), [(False, True), (True, False)])
def test_a_host_of_shorter_packets_is_refused_and_one_that_has_joined_stays(world, active, left):
    swarm = world(FakeSwarm(host(1, 1), host(2, 2), me="id2", active=active), SHARED)
    swarm.mtu = 1450
    with pytest.raises(UsageError, match="MTU of 1450, and provision_management is made for 1500") as caught:
        hosts.join(Silent(), "T", "192.0.2.1", "192.0.2.2")
    hint = "Give this host's network an MTU of 1500. "
    lower = "Or lower that of one of the Swarm's hosts to 1450, and make the networks there. "
    assert caught.value.hint == f"{hint}{lower}{swarm_module.renewal_hint()}"
    assert swarm.left == left
    with pytest.raises(UsageError, match="MTU of 1450") as caught:
        hosts.ensure_networks(swarm, Settings(swarm=True))
    assert caught.value.hint == f"{hint}{swarm_module.renewal_hint()}"


def test_two_hosts_that_join_at_once_do_not_carry_the_same_member(world):
    swarm = world(FakeSwarm(host(1, 1), host(2, 2), host(3, 2), me="id3"), SHARED)
    hosts.join(Silent(), "T", "192.0.2.1")
    assert {each.name: each.member for each in swarm.hosts()} == {"host-1": 1, "host-2": 2, "host-3": 3}


def test_two_hosts_that_join_at_once_do_not_share_the_last_member(world):
    swarm = world(FakeSwarm(*(host(n, n) for n in (1, 2, 3)), host(4, 3), me="id4"), SHARED)
    hosts.join(Silent(), "T", "192.0.2.1")
    assert {each.name: each.member for each in swarm.hosts()} == {"host-1": 1, "host-2": 2, "host-3": 3, "host-4": 0}


@pytest.mark.parametrize("state", ["active", "pending", "locked", "error"])
def test_a_host_that_the_others_have_removed_is_told_how_to_come_back(world, state):
    swarm = world(FakeSwarm(host(1, 1)), SHARED)
    swarm.removed = state
    for run in (lambda: hosts.init(Silent(), "192.0.2.1"), lambda: hosts.join(Silent(), "T", "192.0.2.1")):
        with pytest.raises(UsageError, match=f"is: {state}, not managing it") as caught:
            run()
        assert "docker swarm leave --force" in caught.value.hint
        waits = caught.value.hint.startswith(("Start the hosts that are away", "`docker swarm unlock`"))
        assert waits == (state in {"pending", "locked"})
    assert swarm.done == []


@pytest.mark.parametrize(("state", "left"), [("error", "by force"), ("active", "by force"), ("inactive", False)])
def test_a_host_that_the_others_have_removed_leaves_without_them(world, monkeypatch, state, left):
    swarm = world(FakeSwarm())
    swarm.removed, stopped = state, []
    monkeypatch.setattr(hosts.hypervisor, "stop", lambda *_, purge: stopped.append(purge))
    install(Settings(ha=True, swarm=True))
    hosts.leave(Silent())
    assert (swarm.left, stopped) == (left, [True])
    assert not paths.localcloud_dir().exists()


@pytest.mark.parametrize(("state", "help_"), [("pending", "Start the hosts"), ("locked", "`docker swarm unlock`")])
def test_a_host_that_does_not_reach_the_others_stays_theirs(world, monkeypatch, state, help_):
    swarm = world(FakeSwarm())
    swarm.removed = state
    monkeypatch.setattr(hosts.hypervisor, "stop", lambda *_, purge: pytest.fail("VMs were removed"))
    install(Settings(ha=True, swarm=True))
    with pytest.raises(UsageError, match="does not reach the others") as caught:
        hosts.leave(Silent())
    assert caught.value.hint.startswith(help_)
    assert "If they have removed it, `docker swarm leave --force` here" in caught.value.hint
    assert not swarm.left
    assert installation.load_settings().swarm


@pytest.fixture(name="deployed")
def _deployed(monkeypatch):
    """Return the settings that `init` has deployed."""
    deployed = []
    for name in ("ensure_files", "ensure_built"):
        monkeypatch.setattr(hosts, name, lambda *_: None)
    monkeypatch.setattr(hosts, "part", lambda *_: "the first services")
    monkeypatch.setattr(
        hosts,
        "ensure_stack_files",
        lambda *_: deployed.append(installation.load_settings()) or SimpleNamespace(file=dict),
    )
    return deployed


def test_a_second_beginning_keeps_what_other_hosts_have_changed(world, deployed):
    shared = SHARED | {"choices.json": '{"swarm": true, "ha": true, "replicas": {"nova-api": 3}}'}
    swarm = world(FakeSwarm(host(1, 1)), shared)
    install(Settings(ha=True, swarm=True))
    assert hosts.init(Silent(), "192.0.2.1") == "TOKEN"
    assert [settings.replicas for settings in deployed] == [{"nova-api": 3}]
    assert installation.read_passwords() == {"provision": "p"}
    assert (swarm.unlocked, swarm.locked) == ([], False)


def test_networks_are_made_anew_by_a_beginning_without_the_first_services(world, deployed):
    """What `renewal_hint` says."""
    swarm, settings = world(FakeSwarm(host(1, 1), host(2, 2), me="id2")), Settings(ha=True, swarm=True)
    swarm.mtu, swarm.network = 1450, 1400
    install(replace(settings, replicas={"nova-api": 3}))
    installation.write_passwords(SHARED["passwords.json"])
    assert hosts.init(Silent(), "192.0.2.2") == "TOKEN"
    made = [step for step in swarm.done if step[0] in {"ensure_network", "deploy"}]
    assert made == [
        ("ensure_network", swarm_module.NETWORK, settings.management, 1450),
        ("ensure_network", swarm_module.TUNNEL, settings.tunnel, 1450),
        ("deploy", "the first services"),
    ]
    assert [settings.replicas for settings in deployed] == [{"nova-api": 3}]
    assert installation.read_passwords() == {"provision": "p"}


def test_a_fourth_host_carries_none(world):
    swarm = world(FakeSwarm(*(host(n, n) for n in (1, 2, 3)), host(4), me="id4"), SHARED)
    hosts.join(Silent(), "T", "192.0.2.1")
    assert swarm.known["id4"].member == 0


def test_a_member_s_host_leaves_only_while_the_others_are_a_majority(world, monkeypatch):
    swarm = world(FakeSwarm(*(host(n, n) for n in (1, 2, 3))))
    install(Settings(ha=True, swarm=True))
    swarm.services, missing = {"mariadb": 1}, ["mariadb (2 of 3 serve)"]
    monkeypatch.setattr(hosts, "missing_members", lambda *_: Pending(missing[0]) if missing else None)
    with pytest.raises(UsageError, match=r"mariadb \(2 of 3 serve\).*no majority"):
        hosts.leave(Silent())
    assert not swarm.left
    assert installation.load_settings().swarm
    missing.clear()
    retired = []
    monkeypatch.setattr(hosts.hypervisor, "retire", lambda *_, listed: retired.append(listed))
    swarm.services["nova-api"] = 2
    hosts.leave(Silent())
    assert (swarm.left, retired) == (True, [True])
    assert not installation.load_settings().swarm
    assert not paths.localcloud_dir().exists()


def test_members_that_serve_are_known_by_their_containers(world, monkeypatch):
    swarm = world(FakeSwarm(host(1, 1)))
    monkeypatch.setattr(hosts, "Catalogue", lambda url: ConsulKeys(**{name: {f"{name} {url}"} for name in CLUSTERED}))
    assert hosts.serving_containers(swarm) == {f"{name} http://192.0.2.9:8500" for name in CLUSTERED}
    monkeypatch.setattr(hosts, "Catalogue", lambda url: ConsulKeys())
    with pytest.raises(ConsulUnavailableError):
        hosts.serving_containers(swarm)


def test_one_machine_is_told_that_it_is_in_no_swarm(world):
    world(FakeSwarm())
    with pytest.raises(UsageError, match="belongs to no Swarm"):
        hosts.leave(Silent())


def test_a_host_may_be_left_without_vms_and_no_other_host_hears_of_it(world):
    world(FakeSwarm(host(1, 1), me="id2", active=False), SHARED)
    assert hypervisor.runs_vms()
    hosts.join(Silent(), "T", "192.0.2.1", "192.0.2.2", vms=False)
    assert not hypervisor.runs_vms()
    assert not {each for each in files.SHARED_FILES if "hypervisor" in each}
    # To be asked otherwise the next time.
    hosts.join(Silent(), "T", "192.0.2.1", "192.0.2.2")
    assert hypervisor.runs_vms()
