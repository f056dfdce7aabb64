"""What is read out of the SDK's answers, with an SDK of plain objects."""

from __future__ import annotations

import io
import json
import threading
from ipaddress import IPv4Network
from types import SimpleNamespace

import pytest
import requests
from openstack import exceptions as sdk

from provision.adapters.openstack import reads, session
from provision.adapters.openstack.cloud import Cloud, External, TransientError
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import Flavor
from provision.model.cluster import resources


def thing(**fields):
    return SimpleNamespace(
        **{"name": "a", "project_id": "p", "tags": [*resources.tags("a")], "description": resources.mark("a"), **fields}
    )


def rule(**fields):
    whole = {
        "id": "r1",
        "direction": "ingress",
        "protocol": "tcp",
        "ethertype": "IPv4",
        "port_range_min": 22,
        "port_range_max": 22,
        "remote_ip_prefix": None,
        "remote_group_id": None,
    }
    return whole | fields


RULES = {
    "from a range": (rule(remote_ip_prefix="192.0.2.0/24"), resources.Rule(22, 22, "192.0.2.0/24")),
    "from the nodes": (rule(remote_group_id="g"), resources.Rule(22, 22, resources.NODES)),
    "from anywhere": (rule(), resources.Rule(22, 22, "0.0.0.0/0")),
    "of another group": (rule(remote_group_id="other"), None),
    "UDP": (rule(protocol="udp"), None),
    "IPv6": (rule(ethertype="IPv6"), None),
    "all ports": (rule(port_range_min=None, port_range_max=None), None),
}


@pytest.fixture
def answers():
    return {"servers": [], "groups": [], "server groups": [], "extensions": ["standard-attr-tag"]}


@pytest.fixture
def cloud(answers, monkeypatch):
    # Tests of the lists themselves are in test_session.py and test_logins.py.
    monkeypatch.setattr(reads, "list_servers", lambda connection, **query: connection.compute.servers(**query))
    monkeypatch.setattr(reads, "list_ports", lambda connection, **query: connection.network.ports(**query))

    def listing(*items):
        return lambda **query: list(items)

    def ports(network_id):
        return [
            thing(
                id="p",
                fixed_ips=[{"ip_address": "10.20.0.5"}],
                network_id=network_id,
                device_id=None,
                device_owner=None,
                security_group_ids=["g"],
                is_port_security_enabled=None,
            ),
            thing(
                id="leg",
                description="",
                fixed_ips=[{"ip_address": "10.20.0.1"}],
                network_id=network_id,
                device_id="r",
                device_owner="network:router_interface",
                security_group_ids=[],
                is_port_security_enabled=True,
            ),
        ]

    network = SimpleNamespace(
        # A cloud that ignores the filters: other networks come along, one of the same name in another project.
        networks=listing(thing(id="n"), thing(id="x", description="theirs"), thing(id="y", project_id="other")),
        subnets=listing(
            thing(id="s", cidr="10.20.0.0/24", network_id="n", dns_nameservers=["192.0.2.53"]),
            thing(id="y", project_id="other"),
        ),
        routers=listing(
            thing(id="r", external_gateway_info={"network_id": "ext"}, tags=[]), thing(id="y", project_id="other")
        ),
        extensions=lambda: [SimpleNamespace(alias=alias) for alias in answers["extensions"]],
        security_groups=lambda **query: answers["groups"],
        ips=listing(
            thing(id="y", project_id="other"), thing(id="f", name=None, floating_ip_address="172.29.0.9", port_id="p")
        ),
        ports=ports,
    )
    compute = SimpleNamespace(
        servers=lambda **query: answers["servers"],
        find_keypair=lambda name, ignore_missing: SimpleNamespace(name=name, public_key="ssh-ed25519 AAAA me@here"),
        flavors=lambda details: [SimpleNamespace(id="1", name="small", vcpus=1, ram=2048, disk=8)],
        server_groups=lambda: answers["server groups"],
    )
    return Cloud("test", SimpleNamespace(network=network, compute=compute, current_project_id="p"))


def server(**fields):
    whole = {
        "id": "v",
        "name": "a-worker-1",
        "status": "ACTIVE",
        "task_state": None,
        "hostname": None,
        "launched_at": "2026-01-01",
        "fault": None,
        "metadata": {resources.META_CLUSTER: "a", resources.META_ROLE: "worker", resources.META_SPEC: "s"},
        "addresses": {
            "a": [
                {"addr": "172.29.0.9", "version": 4, "OS-EXT-IPS:type": "floating"},
                {"addr": "10.20.0.7", "version": 4, "OS-EXT-IPS:type": "fixed"},
            ]
        },
        "flavor": {"original_name": "small"},
        "image": {"id": "img"},
    }
    return SimpleNamespace(**(whole | fields))


def test_observe(cloud, answers):
    answers["servers"] = [
        server(),
        server(id="w", metadata={resources.META_CLUSTER: "b"}),
        server(id="x", metadata=None),
    ]
    seen = cloud.observe("a")
    assert [one.id for one in seen.networks] == ["n"]
    assert (seen.subnets[0].cidr, seen.subnets[0].nameservers) == ("10.20.0.0/24", ("192.0.2.53",))
    assert (seen.routers[0].external, seen.routers[0].tagged) == ("ext", False)
    assert seen.floatings[0].address == "172.29.0.9"
    assert seen.master_port is not None
    assert seen.master_port.address == "10.20.0.5"
    assert [port.id for port in seen.ports if port.on_router] == ["leg"]
    assert seen.keys[0].public_key == "ssh-ed25519 AAAA"
    assert len(seen.servers) == 1
    assert seen.servers[0] == resources.Server(
        "v", "a-worker-1", "worker", "ACTIVE", address="10.20.0.7", flavor="small", image="img", spec="s"
    )


@pytest.mark.parametrize("case", RULES)
def test_rules(cloud, answers, case):
    told, expected = RULES[case]
    answers["groups"] = [thing(id="g", security_group_rules=[rule(direction="egress"), told])]
    assert cloud.observe("a").groups[0].rules == ((expected, "r1"),)


SERVERS = {
    "being deleted": ({"task_state": "deleting"}, {"deleting": True}),
    "never built": ({"status": "ERROR", "launched_at": None, "fault": {"message": "No host"}}, {"fault": "No host"}),
    "a fault in HTML": (
        {"fault": {"message": "aborted: <html><body><h1>502 Bad Gateway</h1>\nNo.\n</body></html>"}},
        {"fault": "aborted: 502 Bad Gateway No."},
    ),
    "booted from a volume": ({"image": ""}, {"image": ""}),
    "a flavor by id only": ({"flavor": {"id": "1"}}, {"flavor": "small"}),
    "with its flavor": (
        {"flavor": {"original_name": "small", "vcpus": 2, "ram": 4096, "disk": 8, "swap": 0, "ephemeral": 0}},
        {"flavor": "small", "size": Flavor("small", 2, 4096, 8)},
    ),
    "no address yet": ({"addresses": {}}, {"address": ""}),
}


@pytest.mark.parametrize("case", SERVERS)
def test_servers(cloud, answers, case):
    fields, expected = SERVERS[case]
    answers["servers"] = [server(**fields)]
    found = cloud.servers("a")[0]
    assert {name: getattr(found, name) for name in expected} == expected


def test_why_there_was_no_hypervisor_is_asked_for_since_lists_do_not_say_it(cloud, answers):
    broken = [server(id=f"vm-{number}", status="ERROR", launched_at=None, fault=None) for number in range(7)]
    told = {each.id: SimpleNamespace(fault={"message": "No valid host"}) for each in broken} | {"vm-1": None}
    answers["servers"] = [server(), *broken]
    cloud.connection.compute.find_server = told.get
    faults = {each.id: each.fault for each in cloud.servers("a")}
    assert [faults[each.id] for each in broken] == ["No valid host", "", *["No valid host"] * 3, "", ""]


def test_external_networks(cloud):
    network = cloud.connection.network
    network.networks = lambda is_router_external: [SimpleNamespace(id="e", name="public")]
    network.subnets = lambda network_id: [
        SimpleNamespace(ip_version=6, cidr="2001:db8::/64", gateway_ip="2001:db8::1"),
        SimpleNamespace(ip_version=4, cidr="172.29.0.0/24", gateway_ip="172.29.0.1"),
    ]
    assert cloud.externals() == ("public",)
    found = External("e", (IPv4Network("172.29.0.0/24"),), "172.29.0.1")
    assert cloud.external("public") == cloud.external("e") == found
    assert cloud.external("other") is None


def test_flavors_are_listed_once(cloud):
    assert cloud.flavors() == {"small": Flavor("small", 1, 2048, 8)}
    cloud.connection.compute.flavors = None
    assert cloud.flavor_id("small") == "1"


@pytest.mark.parametrize(("extensions", "tagged"), [(["standard-attr-tag"], False), (["tag"], True), ([], True)])
def test_where_there_are_no_tags_none_are_missing(cloud, answers, extensions, tagged):
    answers["extensions"] = extensions
    assert cloud.observe("a").routers[0].tagged is tagged


def test_other_projects_resources_are_not_the_clusters(cloud, answers):
    answers["groups"] = [thing(id="g", project_id="other", security_group_rules=[])]
    answers["servers"] = [server(project_id="other"), server(id="w", project_id="p")]
    seen = cloud.observe("a")
    everything = (*seen.networks, *seen.subnets, *seen.routers, *seen.groups, *seen.floatings, *seen.servers)
    assert sorted(one.id for one in everything) == ["f", "n", "r", "s", "w"]
    assert cloud.holds("network", "a") == {"n"}
    assert cloud.holds("security group", "a") == set()


def test_a_renamed_server_is_found_by_its_metadata(cloud, answers):
    asked = []
    cloud.connection.compute.servers = lambda **query: asked.append(query) or answers["servers"]
    master = {resources.META_CLUSTER: "a", resources.META_ROLE: "master"}
    answers["servers"] = [server(name="big one"), server(id="m", name="spark", metadata=master)]
    found = [(one.id, one.name, one.renamed) for one in cloud.servers("a")]
    assert found == [("v", "a-worker-1", "big one"), ("m", "a-master", "spark")]
    assert "name" not in asked[0]
    # Hostnames take Nova long: they are asked for where a name says nothing.
    assert len(asked) == 2
    answers["servers"] = [server(), server(id="m", name="spark", metadata=master)]
    cloud.servers("a")
    assert len(asked) == 3


def response(status, document):
    made = requests.Response()
    made.status_code, made.raw = status, io.BytesIO(json.dumps(document).encode())
    made.headers["Content-Type"] = "application/json"
    return made


DOWN = {"name": None, "status": "UNKNOWN", "metadata": None, "addresses": None, "flavor": None, "image": None}
"""What a list has of a server in a cell that is down."""


def test_servers_of_a_cell_that_is_down_are_not_taken_for_missing(cloud, answers):
    network = cloud.connection.network
    ports = network.ports("n")
    ports[0].device_id = "hidden"
    network.ports = lambda **query: ports
    answers["servers"] = [server(), server(id="hidden", **DOWN)]
    with pytest.raises(ProvisionError, match="cannot show all servers of cluster a now: one of its cells is down"):
        cloud.observe("a")
    assert [each.id for each in cloud.servers("a")] == ["v"]
    # Another cluster's, or another project's, are no obstacle.
    ports[0].device_id = "v"
    assert len(cloud.observe("a").servers) == 1
    answers["servers"][1] = server(id="hidden", project_id="other", **DOWN)
    ports[0].device_id = "hidden"
    assert len(cloud.observe("a").servers) == 1


@pytest.mark.parametrize(
    ("groups", "secured", "ours"), [(["g"], True, True), (["other"], True, False), ([], False, True)]
)
def test_on_an_existing_network_a_hidden_server_is_known_by_its_port(cloud, answers, groups, secured, ours):
    port = thing(id="made", description="", fixed_ips=[], network_id="n1", device_id="hidden", device_owner="compute:x")
    port.security_group_ids, port.is_port_security_enabled = groups, secured
    network = cloud.connection.network
    network.networks = network.subnets = network.routers = network.ips = lambda **query: []
    network.ports = lambda project_id: [port]
    answers["groups"] = [thing(id="g", security_group_rules=[])]
    answers["servers"] = [server(), server(id="hidden", **DOWN)]
    if ours:
        with pytest.raises(ProvisionError, match="one of its cells is down"):
            cloud.observe("a")
    else:
        assert cloud.observe("a").ports == ()


def test_a_server_that_comes_on_two_pages_is_one(cloud, answers):
    answers["servers"] = [server(status="BUILD"), server(id="w"), server(status="ACTIVE")]
    found = {one.id: one.status for one in cloud.servers("a")}
    assert len(cloud.servers("a")) == 2
    assert found[server().id] == "ACTIVE"


def test_servers_that_are_being_built(cloud, answers):
    answers["servers"] = [server(), server(id="w")]
    assert cloud.building() == {"v", "w"}


def test_a_question_is_repeated_while_the_cloud_fails_and_a_refusal_is_not(cloud, monkeypatch):
    monkeypatch.setattr(session.time, "sleep", lambda seconds: None)
    errors = [sdk.HttpException("overloaded", response(503, {}))] * 2

    def flavors(details):
        if errors:
            raise errors.pop()
        return []

    cloud.connection.compute.flavors = flavors
    assert cloud.flavors() == {}
    errors.append(sdk.HttpException("no", response(400, {})))
    with pytest.raises(ProvisionError, match="no"):
        cloud.flavors()
    monkeypatch.setattr(session, "READY_TIMEOUT", -1)
    errors += [sdk.HttpException("overloaded", response(503, {}))] * 2
    with pytest.raises(TransientError, match="overloaded"):
        cloud.flavors()
    assert len(errors) == 1


def test_of_two_external_networks_of_one_name_none_is_taken_in_silence(cloud):
    network = cloud.connection.network
    network.networks = lambda **query: [
        SimpleNamespace(id="e1", name="public"),
        SimpleNamespace(id="e2", name="public"),
    ]
    network.subnets = lambda **query: []
    with pytest.raises(UsageError, match="2 external networks") as caught:
        cloud.external("public")
    assert "e1, e2" in caught.value.hint
    assert cloud.external("e2") == External("e2")
    assert cloud.external("other") is None


def test_on_an_existing_network_a_clusters_ports_are_those_with_its_mark_or_its_group(cloud, answers):
    network = cloud.connection.network
    common = {"fixed_ips": [{"ip_address": "172.30.0.5"}], "network_id": "n1", "device_owner": None}
    common |= {"device_id": None, "is_port_security_enabled": True}
    bare = common | {"device_id": "v", "is_port_security_enabled": False}
    ports = [
        thing(id="master", security_group_ids=["g"], **common),
        thing(id="worker", description="", security_group_ids=["g"], **common),
        thing(id="theirs", description="", security_group_ids=["other"], **common),
        thing(id="made", description=resources.worker_mark("a"), security_group_ids=["g"], **common),
        thing(id="bare", description="", security_group_ids=[], **bare),
        thing(id="hub", description=resources.hub_mark("a"), security_group_ids=["g"], **common),
    ]
    leads = thing(id="f", description="theirs", floating_ip_address="172.29.0.9", port_id="hub")
    network.networks = network.subnets = network.routers = lambda **query: []
    network.ports = lambda project_id: ports
    network.ips = lambda **query: [leads] if query.get("port_id") == "hub" else []
    answers["groups"], answers["servers"] = [thing(id="g", security_group_rules=[])], [server()]
    seen = cloud.observe("a")
    marked = [("master", True), ("worker", False), ("made", True), ("bare", False), ("hub", True)]
    assert [(port.id, port.marked) for port in seen.ports] == marked
    assert [port.id for port in seen.ports if not port.secured] == ["bare"]
    assert seen.master_port is not None
    assert seen.master_port.id == "master"
    assert [port.id for port in seen.worker_ports] == ["made"]
    hub = seen.port_of("hub")
    assert (hub and hub.id, seen.hub_role) == ("hub", "hub")
    assert [(each.id, each.marked) for each in seen.floatings] == [("f", False)]
    assert seen.address == "172.29.0.9"
    assert ("floating IP", "172.29.0.9") not in seen.listed()


@pytest.mark.parametrize("role", ["master", "hub", "worker"])
def test_a_server_says_what_it_is_for(cloud, answers, role):
    meta = {resources.META_CLUSTER: "a", resources.META_ROLE: role, resources.META_USERS: "alice"}
    answers["servers"] = [server(name=f"a-{role}", metadata=meta)]
    (found,) = cloud.servers("a")
    assert (found.role, found.users) == (role, None if role == "worker" else ("alice",))


def test_zones_that_take_servers(cloud):
    cloud.connection.compute.availability_zones = lambda: [
        SimpleNamespace(name="nova", state={"available": True}),
        SimpleNamespace(name="closed", state={"available": False}),
    ]
    assert cloud.zones() == {"nova"}


def test_what_a_cluster_consists_of_is_asked_for_at_the_same_time(cloud):
    meet = threading.Barrier(8, timeout=5)

    def meeting(listing):
        def listed(*arguments, **query):
            meet.wait()
            return listing(*arguments, **query)

        return listed

    network, compute = cloud.connection.network, cloud.connection.compute
    for name in ("networks", "subnets", "routers", "security_groups", "ips"):
        setattr(network, name, meeting(getattr(network, name)))
    for name in ("servers", "server_groups", "find_keypair"):
        setattr(compute, name, meeting(getattr(compute, name)))
    assert cloud.observe("a").networks


def test_ports_are_listed_while_the_servers_are(cloud):
    network, compute, asked = cloud.connection.network, cloud.connection.compute, threading.Event()
    ports, servers = network.ports, compute.servers

    def listed_ports(**query):
        asked.set()
        return ports(**query)

    def listed_servers(**query):
        assert asked.wait(5)
        return servers(**query)

    network.ports, compute.servers = listed_ports, listed_servers
    assert cloud.observe("a").ports


def test_tags_of_a_networks_own_ports_are_not_asked_about(cloud, answers):
    cloud.connection.network.routers = lambda **query: [thing(id="r", external_gateway_info=None)]
    cloud.connection.network.extensions = None  # asking would fail
    assert cloud.observe("a").ports[1].id == "leg"


def test_a_clusters_server_group_is_found_by_its_name(cloud, answers):
    named = {"name": "provision-a", "policies": None, "member_ids": ["v"]}
    answers["server groups"] = [
        thing(id="sg", policy="anti-affinity", **named),
        thing(id="y", policy="affinity", project_id="other", **named),
        thing(id="x", policy="affinity", **{**named, "name": "racks"}),
    ]
    found = resources.ServerGroup("sg", "provision-a", "anti-affinity", frozenset({"v"}))
    assert cloud.observe("a").server_groups == (found,)
    assert cloud.holds("server group", "a") == {"sg"}


def test_a_flavor_with_extra_specs_is_one_like_others(cloud):
    gpu = {"pci_passthrough:alias": "a100:1", "resources:VGPU": "1", "hw:numa_nodes": "2"}
    cloud.connection.compute.flavors = lambda details: [
        SimpleNamespace(id="9", name="gpu", vcpus=8, ram=65536, disk=40, extra_specs=gpu, swap=512, ephemeral=100)
    ]
    assert cloud.flavors() == {"gpu": Flavor("gpu", 8, 65536, 40)}
    assert cloud.flavor_id("gpu") == "9"
