"""The cloud door against an SDK of plain objects: what it reads out of answers, and how it words refusals."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from keystoneauth1 import exceptions as keystone
from openstack import exceptions as sdk

from provision.adapters.openstack.cloud import BusyError, Cloud, connect
from provision.base.errors import ProvisionError, UsageError
from provision.model.cluster import resources as its


def thing(**fields):
    return SimpleNamespace(**{"name": "a", "tags": [*its.tags("a")], "description": its.mark("a"), **fields})


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
    "from a range": (rule(remote_ip_prefix="192.0.2.0/24"), its.Rule(22, 22, "192.0.2.0/24")),
    "from the nodes": (rule(remote_group_id="g"), its.Rule(22, 22, its.NODES)),
    "from anywhere": (rule(), its.Rule(22, 22, "0.0.0.0/0")),
    "of another group": (rule(remote_group_id="other"), None),
    "UDP": (rule(protocol="udp"), None),
    "IPv6": (rule(ethertype="IPv6"), None),
    "all ports": (rule(port_range_min=None, port_range_max=None), None),
}


@pytest.fixture
def answers():
    return {"servers": [], "groups": []}


@pytest.fixture
def cloud(answers):
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
            ),
            thing(
                id="leg",
                description="",
                fixed_ips=[{"ip_address": "10.20.0.1"}],
                network_id=network_id,
                device_id="r",
                device_owner="network:router_interface",
                security_group_ids=[],
            ),
        ]

    network = SimpleNamespace(
        # A cloud that ignores the filter: somebody else's network comes along.
        networks=listing(thing(id="n"), thing(id="x", description="theirs")),
        subnets=listing(thing(id="s", cidr="10.20.0.0/24", network_id="n")),
        routers=listing(thing(id="r", external_gateway_info={"network_id": "ext"}, tags=[])),
        security_groups=lambda **query: answers["groups"],
        ips=listing(thing(id="f", name=None, floating_ip_address="172.29.0.9", port_id="p")),
        ports=ports,
    )
    compute = SimpleNamespace(
        servers=lambda **query: answers["servers"],
        find_keypair=lambda name, ignore_missing: SimpleNamespace(name=name, public_key="ssh-ed25519 AAAA me@here"),
        flavors=lambda details: [SimpleNamespace(id="1", name="small", vcpus=1, ram=2048, disk=8)],
    )
    return Cloud("test", SimpleNamespace(network=network, compute=compute))


def server(**fields):
    whole = {
        "id": "v",
        "name": "a-worker-1",
        "status": "ACTIVE",
        "task_state": None,
        "launched_at": "2026-01-01",
        "fault": None,
        "metadata": {its.META_CLUSTER: "a", its.META_ROLE: "worker", its.META_SPEC: "s"},
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
    answers["servers"] = [server(), server(metadata={its.META_CLUSTER: "b"}), server(metadata=None)]
    seen = cloud.observe("a")
    assert [one.id for one in seen.networks] == ["n"]
    assert seen.subnets[0].cidr == "10.20.0.0/24"
    assert (seen.routers[0].external, seen.routers[0].tagged) == ("ext", False)
    assert seen.floatings[0].address == "172.29.0.9"
    assert seen.master_port is not None
    assert seen.master_port.address == "10.20.0.5"
    assert [port.id for port in seen.ports if port.on_router] == ["leg"]
    assert seen.keys[0].public_key == "ssh-ed25519 AAAA"
    assert len(seen.servers) == 1
    assert seen.servers[0] == its.Server(
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
    "no address yet": ({"addresses": {}}, {"address": ""}),
}


@pytest.mark.parametrize("case", SERVERS)
def test_servers(cloud, answers, case):
    fields, expected = SERVERS[case]
    answers["servers"] = [server(**fields)]
    found = cloud.servers("a")[0]
    assert {name: getattr(found, name) for name in expected} == expected


ERRORS = {
    "in use": (sdk.ConflictException("in use"), BusyError, "in use"),
    "login": (keystone.Unauthorized("no"), ProvisionError, "refused the login"),
    "unreachable": (keystone.ConnectFailure("no route"), ProvisionError, "cannot be reached"),
    "refused": (sdk.HttpException(message="Quota exceeded"), ProvisionError, "Quota exceeded"),
    "a catalogue without the service": (keystone.EndpointNotFound("none"), ProvisionError, "none"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(cloud, case):
    error, kind, words = ERRORS[case]
    with pytest.raises(kind, match=words) as caught, cloud.asking("doing it"):
        raise error
    assert caught.value.message.startswith("doing it: ")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (None, "no usable cloud 'mine'"),
        ("clouds: {other: {auth: {auth_url: 'http://127.0.0.1:1/v3'}}}", "no usable cloud 'mine'"),
        ("clouds: [", "cannot be read"),
        ("- a list", ""),
    ],
)
def test_clouds_yaml(tmp_path, monkeypatch, text, part):
    file = tmp_path / "clouds.yaml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        connect("mine")
    assert part in caught.value.message
    assert str(file) in caught.value.hint


def test_a_cloud_that_is_not_there(tmp_path, monkeypatch):
    file = tmp_path / "clouds.yaml"
    file.write_text(
        "clouds: {mine: {auth: {auth_url: 'http://127.0.0.1:1/v3', username: u, password: p, project_name: x}}}"
    )
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    with pytest.raises(ProvisionError, match="cannot be reached") as caught:
        connect("mine")
    assert caught.value.exit_code == 1
