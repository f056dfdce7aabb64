"""The plan of a server of which a golden image is made."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from provision.base.errors import UsageError
from provision.base.model import ClusterSpec, Flavor, HubSpec, ImageSpec, MasterSpec, NetworkSpec, User
from provision.clusterfile.units import Wrong, cluster_name
from provision.model.cluster.resources import META_CLUSTER, ObservedCluster, Port, Rule, Server, key_name
from provision.model.cluster.steps import DesiredState
from provision.model.image.snapshot import NAME, bake_plan, bake_rules, bake_spec, free_range, smallest_flavor

DESIRED = DesiredState(
    name=NAME,
    cidr="10.20.0.0/24",
    external="ext",
    rules=bake_rules([IPv4Network("192.0.2.0/24")]),
    image="debian",
    master_flavor="m1.medium",
    worker_flavor="m1.medium",
    count=0,
    spec="recipe",
)
SERVER = Server("1", f"{NAME}-master", "master", "ACTIVE", flavor="m1.medium", image="debian", spec="recipe")
PORT = Port("p", f"{NAME}-master", device="1", marked=True)


def of_servers(*servers, ports=(PORT,)):
    plan = bake_plan(DESIRED, ObservedCluster(servers=servers, ports=ports))
    return [(step.verb, *step.ids) for step in plan.steps if step.kind == "server"]


def test_no_cluster_can_have_its_name():
    with pytest.raises(Wrong):
        cluster_name(NAME)
    assert META_CLUSTER
    # Nova takes letters, digits, blanks, - and _ alone.
    assert all(letter.isalnum() or letter in "-_" for letter in key_name(NAME))


def test_nothing_there():
    plan = bake_plan(DESIRED, ObservedCluster())
    made = [step.kind for step in plan.of("create")]
    assert made == ["network", "subnet", "router", "security group", "port", "floating IP", "key pair", "server"]
    assert not plan.destructive


@pytest.mark.parametrize(
    ("server", "steps"),
    [
        (SERVER, []),
        (replace(SERVER, status="BUILD"), []),
        (replace(SERVER, status="SHUTOFF", baked=True), []),
        (replace(SERVER, status="SHUTOFF"), ["delete", "create"]),
        (replace(SERVER, status="ERROR", fault="no room"), ["delete", "create"]),
        (replace(SERVER, spec="older files"), ["delete", "create"]),
        (replace(SERVER, image="another"), ["delete", "create"]),
        (replace(SERVER, flavor="m1.large"), ["delete", "create"]),
        (replace(SERVER, deleting=True), ["wait", "create"]),
        # Whoever gives an image another flavor than it was baked on, bakes it again.
        (replace(SERVER, flavor="m1.large", status="SHUTOFF", baked=True), ["delete", "create"]),
    ],
)
def test_a_server_that_is_there(server, steps):
    assert [verb for verb, *_ in of_servers(server)] == steps


def test_one_of_two_stays():
    assert of_servers(SERVER, replace(SERVER, id="2")) == [("delete", "2")]


def test_a_server_without_its_port_cannot_be_reached():
    assert [verb for verb, *_ in of_servers(SERVER, ports=())] == ["delete", "create"]
    ready = replace(SERVER, status="SHUTOFF", baked=True)
    assert of_servers(ready, ports=()) == []


def test_only_ssh_is_open():
    assert bake_rules([IPv4Network("192.0.2.0/24")]) == {Rule(22, 22, "192.0.2.0/24")}


def test_the_cloud_and_its_network_are_the_clusters():
    network = NetworkSpec(existing="ours", floating_ip=False)
    cluster = ClusterSpec(
        "analytics",
        cloud="campus",
        key_pair="mine",
        network=network,
        master=MasterSpec("m1.xlarge", "hall-2", "apart"),
        hub=HubSpec(users=(User("bob"),)),
    )
    spec = bake_spec(cluster, "debian-13", "m1.medium", "host")
    assert (spec.name, spec.cloud, spec.network) == (NAME, "campus", network)
    assert spec.image == ImageSpec("debian-13", stock=True, sources="host")
    assert spec.master == MasterSpec("m1.medium", "hall-2")
    assert (spec.workers.count, spec.key_pair, spec.hub) == (0, "", HubSpec())


def test_what_the_cluster_has_the_server_leaves_to_it():
    network = NetworkSpec(router="edge", floating_ip="198.51.100.7", nameservers=("192.0.2.53",))
    own = IPv4Network("192.168.240.0/28")
    found = bake_spec(ClusterSpec("a", network=network), "d", "f", "image", own).network
    assert found == replace(network, floating_ip=True, cidr=own)


def test_a_range_beside_others():
    assert free_range([]) == IPv4Network("192.168.240.0/28")
    assert free_range([IPv4Network("192.168.240.0/27")]) == IPv4Network("192.168.240.32/28")
    assert free_range([IPv4Network("192.168.0.0/16")]) == IPv4Network("172.31.240.0/28")
    with pytest.raises(UsageError, match="no range is free"):
        free_range([IPv4Network("0.0.0.0/0")])


def flavors(*sizes):
    return {flavor.name: flavor for flavor in (Flavor(f"f{at}", *size) for at, size in enumerate(sizes))}


def test_the_smallest_flavor_that_does():
    offered = flavors((1, 512, 40), (4, 8192, 20), (2, 4096, 20), (2, 4096, 0), (1, 2048, 8))
    assert smallest_flavor(offered, 0) == "f2"
    assert smallest_flavor(offered, 0, 8192) == "f1"
    with pytest.raises(UsageError, match="10 GiB of its own and 16384 MiB of RAM"):
        smallest_flavor(offered, 0, 16384)
    with pytest.raises(UsageError, match="no flavor with a disk of 30 GiB"):
        smallest_flavor(offered, 30)
    with pytest.raises(UsageError, match="no flavor with a disk of 10 GiB") as caught:
        smallest_flavor(flavors((4, 8192, 0)), 2)
    assert "boot from volumes" in caught.value.hint
