"""What people have on their clouds, found by name or id, with an SDK of plain objects."""

from __future__ import annotations

from ipaddress import IPv4Network
from types import SimpleNamespace

import pytest
from openstack import exceptions as sdk
from openstack.image.v2.image import Image as SDKImage
from openstack.network.v2.network import Network

from provision.adapters.openstack.cloud import (
    Cloud,
    ExistingGroup,
    ExistingNetwork,
    ExistingRouter,
    ExistingSubnet,
    Image,
)
from provision.base.errors import UsageError
from provision.model.cluster import resources


def thing(id, name="", **fields):  # noqa: A002 - the cloud's own word
    return SimpleNamespace(**{"id": id, "name": name, "project_id": "p", "is_shared": False, **fields})


@pytest.fixture
def cloud():
    neutron = SimpleNamespace(extensions=lambda: [SimpleNamespace(alias="port-security")])
    return Cloud("test", SimpleNamespace(network=neutron, compute=SimpleNamespace(), current_project_id="p"))


def listing(*there):
    def listed(**query):
        return [each for each in there if all(getattr(each, key) == value for key, value in query.items())]

    return listed


def subnet(id, **fields):  # noqa: A002
    whole = {"network_id": "n1", "ip_version": 4, "cidr": "172.30.0.0/24", "is_dhcp_enabled": True, "service_types": []}
    return thing(id, **whole | fields)


def test_a_network_and_the_subnets_that_servers_can_be_on(cloud):
    cloud.connection.network.networks = listing(
        thing("n1", "team", is_port_security_enabled=True),
        thing("n2", "x", is_port_security_enabled=True),
        thing("n3", "x", is_port_security_enabled=False),
    )
    cloud.connection.network.subnets = listing(
        subnet("s4", name="nodes"),
        subnet("s6", ip_version=6, cidr="fd00::/64"),
        subnet("gateways", service_types=["network:router_gateway", "network:floatingip"]),
        subnet("vms", cidr="172.31.0.0/24", service_types=["compute:nova"], is_dhcp_enabled=False),
    )
    nodes = ExistingSubnet("s4", IPv4Network("172.30.0.0/24"), "nodes")
    vms = ExistingSubnet("vms", IPv4Network("172.31.0.0/24"))
    assert cloud.network("team") == cloud.network("n1") == ExistingNetwork("n1", (nodes, vms))
    assert cloud.network("n2") == ExistingNetwork("n2")
    assert cloud.network("n3") == ExistingNetwork("n3", port_security=False)
    assert cloud.network("other") is None
    with pytest.raises(UsageError, match=r"network\.existing: 2 networks are called 'x'") as caught:
        cloud.network("x")
    assert "n2, n3" in caught.value.hint
    assert cloud.networks() == ("team", "x")


@pytest.mark.parametrize(
    ("says", "extensions", "secured"),
    [
        ({"port_security_enabled": True}, ["port-security"], True),
        ({"port_security_enabled": False}, ["port-security"], False),
        ({}, [], True),
    ],
)
def test_security_groups_have_an_effect_where_the_cloud_does_not_know_port_security(cloud, says, extensions, secured):
    cloud.connection.network.networks = listing(Network.existing(id="n1", name="team", **says))
    cloud.connection.network.subnets = listing()
    cloud.connection.network.extensions = lambda: [SimpleNamespace(alias=alias) for alias in extensions]
    assert cloud.network("n1").port_security is secured


def test_a_router(cloud):
    cloud.connection.network.routers = listing(
        thing("r", "edge", external_gateway_info={"network_id": "ext", "enable_snat": True}),
        thing("i", "inside", external_gateway_info=None),
    )
    assert cloud.router("edge") == cloud.router("r") == ExistingRouter("r", "ext")
    assert cloud.router("inside") == ExistingRouter("i")
    assert cloud.router("other") is None


def test_a_floating_ip_of_another_project_is_not_found(cloud):
    found = thing("f", floating_ip_address="172.29.0.9", port_id=None)
    cloud.connection.network.ips = lambda **query: [found]
    assert cloud.floating("172.29.0.9") == resources.Floating("f", address="172.29.0.9", marked=False)
    found.project_id = "other"
    assert cloud.floating("172.29.0.9") is None


def test_security_groups_that_this_project_may_use(cloud):
    cloud.connection.network.security_groups = listing(
        thing("g", "web"), thing("h", "shared", project_id="other", is_shared=True), thing("i", "x", project_id="other")
    )
    assert cloud.security_groups() == (ExistingGroup("g", "web"), ExistingGroup("h", "shared", shared=True))


def test_server_groups_with_their_policies(cloud):
    cloud.connection.compute.server_groups = listing(
        thing("new", "racks", policy="anti-affinity", policies=None, member_ids=["v"]),
        thing("old", "before 2.64", policy=None, policies=["affinity"], member_ids=None),
    )
    assert cloud.server_groups() == (
        resources.ServerGroup("new", "racks", "anti-affinity", frozenset({"v"})),
        resources.ServerGroup("old", "before 2.64", "affinity"),
    )


def test_key_pairs(cloud):
    cloud.connection.compute.keypairs = listing(thing("laptop", "laptop", public_key="ssh-ed25519 AAAA me\n"))
    assert cloud.key_pairs() == {"laptop": "ssh-ed25519 AAAA me"}


def image(**body):
    whole = {"status": "active", "visibility": "private", "owner": "other", "min_disk": 0, "min_ram": 0}
    return SDKImage.existing(**whole | body)


def test_an_image_is_found_by_name_unless_the_name_fits_several(cloud):
    mine = image(id="i", owner="p", size=5)
    public = image(
        id="j", visibility="public", min_disk=4, min_ram=1024, virtual_size=3 << 30, size=5, provision_inputs="abc"
    )
    theirs = image(id="k", owner="other")

    def absent(name):
        raise sdk.NotFoundException("no")

    images = cloud.connection.image = SimpleNamespace(images=lambda name: [theirs], get_image=absent)
    assert cloud.image("debian") is None, "an administrator sees other projects' private images"
    images.images = lambda name: [theirs, mine]
    assert cloud.image("debian") == Image("i", 0, 5)
    images.images, images.get_image = lambda name: [], lambda name: public
    assert cloud.image("j") == Image("j", 4, 3 << 30, golden=True, min_ram=1024)
    public.properties["provision_server"] = "vm"
    assert cloud.image("j").snapshot
    images.images = lambda name: [mine, public]
    with pytest.raises(UsageError, match="several images are called 'debian'"):
        cloud.image("debian")
    images.images = lambda name: [image(id="o", owner="p", status="deactivated"), mine]
    assert cloud.image("debian").id == "i", "only what servers can be made of counts"


@pytest.mark.parametrize("status", ["queued", "saving", "importing", "deactivated"])
def test_an_image_that_is_not_active_is_refused(cloud, status):
    there = image(id="i", owner="p", status=status)
    cloud.connection.image = SimpleNamespace(images=lambda name: [], get_image=lambda name: there)
    with pytest.raises(UsageError, match=f"image: 'debian' is {status}, and servers") as caught:
        cloud.image("debian")
    assert "--status active" in caught.value.hint


def test_the_ranges_of_all_subnets(cloud):
    cloud.connection.network.subnets = listing(
        subnet("s4"), subnet("s6", ip_version=6, cidr="fd00::/64"), subnet("s5", network_id="n2", cidr="10.0.0.0/16")
    )
    assert cloud.subnet_ranges() == (IPv4Network("172.30.0.0/24"), IPv4Network("10.0.0.0/16"))
