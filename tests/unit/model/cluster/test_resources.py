"""How a cluster's resources are named, marked, sorted and listed."""

from __future__ import annotations

import pytest

from provision.model.cluster import resources
from provision.model.cluster.resources import (
    Floating,
    KeyPair,
    Network,
    ObservedCluster,
    Port,
    Router,
    Rule,
    Server,
    Subnet,
    role_of,
    with_own_names,
)


def test_names_and_marks():
    assert resources.mark("a") == "provision cluster=a"
    assert resources.tags("a") == ("provision", "provision:cluster=a")
    assert resources.key_name("a") == "provision-a"
    assert resources.master_name("a") == "a-master"
    assert resources.worker_names("a", 2) == ("a-worker-1", "a-worker-2")


@pytest.mark.parametrize(("text", "expected"), [("a-worker-2", "a-worker-10"), ("a2-worker-1", "a10-worker-1")])
def test_natural_order(text, expected):
    assert resources.natural(text) < resources.natural(expected)


@pytest.mark.parametrize(
    ("rule", "text"), [(Rule(22, 22, "nodes"), "22 from nodes"), (Rule(1, 9, "::/0"), "1-9 from ::/0")]
)
def test_a_rule_in_words(rule, text):
    assert str(rule) == text


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        ("network:router_interface", True),
        ("network:router_interface_distributed", True),
        ("network:ha_router_replicated_interface", True),
        ("network:router_gateway", False),
        ("network:dhcp", False),
        ("compute:nova", False),
        ("", False),
    ],
)
def test_interfaces_of_routers(owner, expected):
    assert Port("p", owner=owner).on_router is expected


def test_nothing_is_false():
    assert not ObservedCluster()
    assert ObservedCluster(keys=(KeyPair("provision-a", "ssh-ed25519 AAAA"),))


def test_nodes_are_sorted_and_without_those_that_are_deleted():
    names = ("a-worker-10", "a-worker-2", "a-master", "a-worker-1")
    servers = tuple(Server(name, name, "master" if name == "a-master" else "worker") for name in names)
    gone = Server("x", "a-worker-3", "worker", deleting=True)
    found = ObservedCluster(servers=(*servers, gone)).nodes
    assert [server.name for server in found] == ["a-master", "a-worker-1", "a-worker-2", "a-worker-10"]


def test_a_server_that_was_renamed_is_known_by_what_it_is_for():
    servers = [Server("1", "front", "hub"), Server("2", "a-master", "master"), Server("3", "a-hub", "worker")]
    found = with_own_names("a", servers, {})
    assert [(server.name, server.renamed) for server in found] == [
        ("a-hub", "front"),
        ("a-master", ""),
        ("a-worker-1", "a-hub"),
    ]
    assert [role_of("a", name) for name in ("a-master", "a-hub", "a-worker-1")] == ["master", "hub", "worker"]


def test_the_hub_is_where_its_port_or_its_server_is():
    master, hub, port = Server("1", "a-master", "master"), Server("2", "a-hub", "hub"), Port("p", "a-hub", hub=True)
    assert ObservedCluster(servers=(master,)).hub_server == master
    assert ObservedCluster(servers=(hub, master)).hub_server == hub
    assert ObservedCluster(servers=(master,), ports=(port,)).hub_server is None
    assert not port.for_master


def test_the_masters_port_is_the_marked_one():
    own, nova = Port("p", "a-master"), Port("w", marked=False)
    assert ObservedCluster(ports=(nova, own)).master_port == own
    assert ObservedCluster(ports=(nova,)).master_port is None


def test_everything_is_listed_servers_first():
    found = ObservedCluster(
        networks=(Network("n", "a"),),
        subnets=(Subnet("s"),),
        routers=(Router("r", "a"),),
        ports=(Port("p", "a-master"), Port("w", marked=False)),
        floatings=(Floating("f", address="172.29.0.9"),),
        keys=(KeyPair("provision-a", "ssh-ed25519 AAAA"),),
        servers=(Server("1", "a-master", "master"),),
    )
    assert list(found.listed()) == [
        ("server", "a-master"),
        ("floating IP", "172.29.0.9"),
        ("port", "a-master"),
        ("router", "a"),
        ("subnet", "s"),
        ("network", "a"),
        ("key pair", "provision-a"),
    ]
