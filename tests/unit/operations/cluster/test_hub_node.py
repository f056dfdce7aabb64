"""A cluster whose Hub has a node of its own (`hub: {on: node}`), on a fake cloud."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision.adapters import net
from provision.adapters.spark import SparkMaster
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import MasterSpec, NetworkSpec
from provision.clusterfile.loading import DEFAULT_SOURCE, check
from provision.model.cluster import resources
from provision.operations.cluster import nodes
from provision.operations.cluster.nodes import find_live_cluster
from provision.operations.cluster.run import find_node
from provision.operations.cluster.status import status

NAMES = ["analytics-master", "analytics-hub", "analytics-worker-1", "analytics-worker-2"]


@pytest.fixture
def site(make_site):
    site = make_site()
    site.spec = replace(site.spec, hub=replace(site.spec.hub, node=MasterSpec()))
    return site


def assert_whole(site):
    """Assert that there is one whole cluster, and return it."""
    seen = site.cloud.observe("analytics")
    assert [server.name for server in seen.nodes] == NAMES
    assert {port.name for port in seen.ports if port.marked} == {"analytics-master", "analytics-hub"}
    master, hub = seen.port_of("master"), seen.port_of("hub")
    assert [server.address for server in seen.nodes[:2]] == [master.address, hub.address]
    assert seen.floatings[0].port == hub.id
    assert (seen.nodes[0].floating, seen.nodes[1].floating) == ("", seen.floatings[0].address)
    assert (seen.nodes[0].smoke_tested, seen.nodes[1].smoke_tested) == ("", seen.nodes[1].spec)
    assert (seen.nodes[0].users, seen.nodes[1].users) == (None, ("alice",))
    return seen


def test_up_makes_it_and_has_nothing_to_do_then(site):
    assert site.up().hub_url == "https://172.29.0.100"
    assert_whole(site)
    site.assert_nothing_to_do()
    site.down()
    assert not site.cloud.observe("analytics")


def test_nodes_are_given_both_addresses(site):
    site.up()
    seen = site.cloud.observe("analytics")
    cluster = find_live_cluster(site.spec, "cluster.yaml", site.cloud)
    master, hub = seen.port_of("master").address, seen.port_of("hub").address
    assert (cluster.addresses.master, cluster.addresses.hub) == (master, hub)
    assert (cluster.master.name, cluster.hub.name) == tuple(NAMES[:2])
    assert cluster.hub_context["node_role"] == "hub"
    assert find_node(cluster, None).name == find_node(cluster, "hub").name == "analytics-hub"
    assert find_node(cluster, "master").name == "analytics-master"
    text = cluster.ssh_config.read_text()
    assert "Host analytics-hub\n  HostName 172.29.0.100\n" in text
    assert text.count("  ProxyJump analytics-hub\n") == 3


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("number", range(8, 40))
def test_killed_anywhere_it_goes_on(site, number, late):
    with site.killed_at(number, late=late):
        site.up()
    site.up()
    assert_whole(site)


@pytest.mark.parametrize(("kind", "method"), [("port", "create_port")])
def test_a_second_up_that_makes_the_same_port_stops(site, kind, method):
    create = getattr(site.cloud, method)
    site.cloud.create_port = lambda *words, **more: (create(*words, **more), create(*words, **more))[1]
    with pytest.raises(ProvisionError, match=f"another `provision up` of cluster analytics is .* made a {kind} too"):
        site.up()
    site.cloud.create_port = create
    site.up()
    assert_whole(site)


@pytest.mark.parametrize("apart_first", [False, True])
def test_the_hub_of_a_live_cluster_cannot_move(site, apart_first):
    apart, together = site.spec, replace(site.spec, hub=replace(site.spec.hub, node=None))
    site.up(spec=apart if apart_first else together)
    writes = len(site.cloud.writes)
    other = together if apart_first else apart
    for replacing in (False, True):
        with pytest.raises(
            UsageError, match=r"cluster\.yaml: hub\.on: the Hub of this cluster is on analytics-"
        ) as caught:
            site.up(spec=other, replace=replacing, remove=True)
    assert f"Write `on: {'node' if apart_first else 'master'}`." in caught.value.hint
    with pytest.raises(UsageError, match=r"hub\.on"):
        find_live_cluster(other, "cluster.yaml", site.cloud)
    assert len(site.cloud.writes) == writes


def test_the_default_spec_is_told_from_what_file_it_was_made(site):
    site.up()
    together = replace(site.spec, hub=replace(site.spec.hub, node=None))
    for act in (
        lambda: site.up(spec=together, source=DEFAULT_SOURCE),
        lambda: find_live_cluster(together, DEFAULT_SOURCE, site.cloud),
    ):
        with pytest.raises(UsageError) as caught:
            act()
        assert caught.value.hint.startswith("It was made from cluster.yaml: ")


def test_a_hub_that_is_replaced_takes_the_data_along(site):
    site.up()
    old = site.cloud.observe("analytics").hub_server
    site.data.disks[old.id] = "homes"
    site.spec = replace(site.spec, hub=replace(site.spec.hub, node=MasterSpec("m1.medium")))
    with pytest.raises(UsageError, match="people's files are carried over"):
        site.up()
    site.up(replace=True)
    new = assert_whole(site).hub_server
    assert (new.flavor, site.data.disks[new.id], site.data.here) == ("m1.medium", "homes", {})


def test_a_master_that_is_replaced_has_no_data_of_people(site):
    site.up()
    hub = site.cloud.observe("analytics").hub_server
    site.spec = replace(site.spec, master=MasterSpec("m1.medium"))
    with pytest.raises(UsageError, match="and what is on them would be lost: server analytics-master"):
        site.up()
    site.up(replace=True)
    seen = assert_whole(site)
    assert (seen.nodes[0].flavor, seen.hub_server.id) == ("m1.medium", hub.id)
    assert site.data.here == {}


def test_without_a_floating_ip_the_hubs_own_address_is_the_address(site):
    site.spec = replace(site.spec, network=NetworkSpec(floating_ip=False))
    site.up()
    seen = site.cloud.observe("analytics")
    assert seen.address == seen.port_of("hub").address == seen.hub_server.floating


def test_status_knows_it(site, monkeypatch):
    site.up()
    seen = site.cloud.observe("analytics")
    alive = SparkMaster(tuple(server.address for server in seen.nodes[2:]), 2, 2048, 0)
    asked = []

    def ask_master(ssh_config, master, by):
        asked.append((master.name, master.address, by))
        return alive

    monkeypatch.setattr(nodes, "ask_master", ask_master)
    monkeypatch.setattr(net, "hub_answers", lambda *words, **more: "")
    for _ in range(2):
        state = status(site.cloud, site.spec, site.cluster_dir)
        assert state["working"]
    assert [(node["role"], node["registered"]) for node in state["nodes"]] == [
        ("master", None),
        ("hub", None),
        ("worker", True),
        ("worker", True),
    ]
    assert set(asked) == {("analytics-master", seen.port_of("master").address, "analytics-hub")}
    site.cloud.delete_server(seen.hub_server.id)
    site.cloud.observe("analytics")
    assert not status(site.cloud, site.spec, site.cluster_dir)["working"]


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ("hub: {on: elsewhere}", "hub.on", "not one of its words"),
        ("hub: {on: node}\nmonitoring: true", "monitoring", "the programs of monitoring are on the master"),
        ("hub: {flavor: m1.small}", "hub.flavor", "the Hub is on the master"),
        ("hub: {on: master, server_group: racks}", "hub.server_group", "the Hub is on the master"),
        ("hub: {on: node, image: x}", "hub.image", "no such field"),
        ("hub: {on: node}\nnetwork: {cidr: 10.0.0.0/29}", "network.cidr", "room for 2 nodes, and the cluster has 4"),
    ],
)
def test_wrong_files(tmp_path, fields, field, says):
    with pytest.raises(UsageError) as caught:
        check(f"name: a\n{fields}\n", tmp_path / "cluster.yaml")
    assert f": {field}: " in caught.value.message
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"node": MasterSpec("m1.tiny")}, r"hub\.flavor: m1\.tiny has 512 MiB of RAM, and the Hub and a notebook need"),
        ({"node": MasterSpec("nope")}, r"hub\.flavor: the cloud has no flavor 'nope'"),
        ({"node": MasterSpec(zone="nope")}, r"hub\.availability_zone: .* has no availability zone 'nope'"),
        ({"node": MasterSpec(server_group="nope")}, r"hub\.server_group: .* has no server group 'nope'"),
    ],
)
def test_what_the_cloud_does_not_have(site, spec, field):
    site.spec = replace(site.spec, hub=replace(site.spec.hub, **spec))
    with pytest.raises(UsageError, match=field):
        site.up()
    assert site.cloud.writes == []


def test_the_port_has_a_mark_of_its_own(site):
    site.up()
    descriptions = {port.name: port.description for port in site.cloud.of("port")}
    assert descriptions["analytics-hub"] == resources.hub_mark("analytics")
