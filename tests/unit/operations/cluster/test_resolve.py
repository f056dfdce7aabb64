"""A spec checked against a cloud: who is let in, what is refused, and the state that is desired."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from provision.adapters import net
from provision.adapters.openstack.cloud import External, Image
from provision.base.errors import UsageError
from provision.base.model import (
    Bastion,
    ClusterSpec,
    Flavor,
    HubSpec,
    ImageSpec,
    Limits,
    MasterSpec,
    NetworkSpec,
    Tls,
    WorkersSpec,
)
from provision.model.cluster.plan import plan as make_plan
from provision.model.cluster.resources import Floating, ObservedCluster, Rule, Server
from provision.operations.cluster.resolve import check_quota, resolve, resolve_without_cloud, used_image

PRIVATE = External("ext", (IPv4Network("172.29.0.0/24"),), "172.29.0.1")
# 198.51.100.0/24 and its like are reserved, and so "private" to Python: 8.8.8.8 stands for a public cloud.
PUBLIC = External("ext", (IPv4Network("8.8.8.0/24"),), "8.8.8.1")


def access_of(make_site, monkeypatch, external, own, *, access=None, observed=None, bastion=None):
    site = make_site()
    asked = []

    def source(target):
        asked.append(target)
        return own

    monkeypatch.setattr(net, "source_address", source)
    monkeypatch.setattr(site.cloud, "external", lambda name: external)
    spec = ClusterSpec("a", network=replace(NetworkSpec(), access=access, bastion=bastion))
    return resolve(site.cloud, spec, observed or ObservedCluster(), "c.yaml").access, asked


def test_this_machine(make_site, monkeypatch):
    access, asked = access_of(make_site, monkeypatch, PRIVATE, "172.29.0.1")
    assert access == (IPv4Network("172.29.0.1/32"),)
    assert asked == ["172.29.0.1"]


def test_the_floating_ip_is_asked_for_where_there_is_one(make_site, monkeypatch):
    observed = ObservedCluster(floatings=(Floating("f", address="172.29.0.107"),))
    assert access_of(make_site, monkeypatch, PRIVATE, "172.29.0.1", observed=observed)[1] == ["172.29.0.107"]


def test_a_cloud_that_hides_its_external_subnets(make_site, monkeypatch):
    monkeypatch.setattr(net, "address_of", {"cloud.example.org": "10.9.9.9"}.get)
    access, asked = access_of(make_site, monkeypatch, External("ext"), "10.9.0.5")
    assert asked == ["10.9.9.9"]
    assert access == (IPv4Network("10.9.0.5/32"),)


def test_a_public_cloud_that_hides_its_external_subnets(make_site, monkeypatch):
    monkeypatch.setattr(net, "address_of", lambda host: "8.8.8.8")
    with pytest.raises(UsageError, match="behind address translation"):
        access_of(make_site, monkeypatch, External("ext"), "192.168.1.5")


def test_a_public_address_before_a_public_cloud(make_site, monkeypatch):
    assert access_of(make_site, monkeypatch, PUBLIC, "9.9.9.9")[0] == (IPv4Network("9.9.9.9/32"),)


@pytest.mark.parametrize("own", ["100.64.7.9", "192.168.1.5"])
def test_from_one_range_that_is_not_public_to_another(make_site, monkeypatch, own):
    external = External("ext", (IPv4Network("100.65.0.0/24"),), "100.65.0.1")
    assert access_of(make_site, monkeypatch, external, own)[0] == (IPv4Network(f"{own}/32"),)


REFUSED = {
    "behind address translation": (PUBLIC, "192.168.1.5", None, "behind address translation", "access:"),
    "behind a provider's address translation": (PUBLIC, "100.64.7.9", None, "behind address translation", "access:"),
    "not in its own list": (PRIVATE, "172.29.0.1", "192.0.2.0/24", "172.29.0.1 towards the cloud", "172.29.0.1/32"),
    "no route": (PRIVATE, None, None, "no route to 172.29.0.1", "connect"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(make_site, monkeypatch, case):
    external, own, access, message, hint = REFUSED[case]
    ranges = None if access is None else (IPv4Network(access),)
    with pytest.raises(UsageError) as caught:
        access_of(make_site, monkeypatch, external, own, access=ranges)
    assert caught.value.message.startswith("c.yaml: network.")
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_behind_address_translation_with_a_list(make_site, monkeypatch):
    ranges = (IPv4Network("9.9.9.0/24"),)
    assert access_of(make_site, monkeypatch, PUBLIC, "192.168.1.5", access=ranges)[0] == ranges


def test_the_desired_state_of_a_golden_image(make_site):
    site = make_site()
    resolved = resolve(site.cloud, site.spec, ObservedCluster(), "c.yaml")
    desired = resolved.desired_state("img")
    assert (desired.image, desired.same_image) == ("img", False)
    assert resolved.desired_state("img", refresh=True).same_image
    assert (desired.external, desired.count, desired.source) == ("ext", 2, "c.yaml")
    assert Rule(443, 443, "172.29.0.1/32") in desired.rules


def test_the_desired_state_of_another_image(make_site):
    site = make_site()
    resolved = resolve(site.cloud, replace(site.spec, image=ImageSpec("other")), ObservedCluster(), "c.yaml")
    assert (resolved.desired_state().image, resolved.desired_state().same_image) == ("img-other", True)


def test_the_users_own_certificate_is_part_of_the_settings(make_site, tmp_path):
    site = make_site()
    tls = Tls(tmp_path / "c.pem", tmp_path / "c.key")
    tls.cert.write_text("one")
    resolved = resolve(site.cloud, replace(site.spec, hub=HubSpec(tls=tls)), ObservedCluster(), "c.yaml")
    before = resolved.desired_state().spec
    tls.cert.write_text("two")
    assert resolved.desired_state().spec != before


def test_without_a_cloud_nothing_is_asked_and_nobody_but_the_list_is_let_in():
    ranges = (IPv4Network("192.0.2.0/24"),)
    flavors = (Flavor("m1.small", 1, 2048, 8),)
    assert resolve_without_cloud(ClusterSpec("a"), "c.yaml", flavors).access == ()
    resolved = resolve_without_cloud(ClusterSpec("a", network=NetworkSpec(access=ranges)), "c.yaml", flavors)
    assert resolved.access == ranges
    assert resolved.sizing.worker_memory == 1536
    assert (resolved.desired_state().external, resolved.desired_state().image) == ("", "")


@pytest.fixture
def of_image(make_site, monkeypatch):
    def resolved(spec, image, disk=20):
        site = make_site()
        monkeypatch.setattr(site.cloud, "flavors", lambda: {"small": Flavor("small", 2, 4096, disk)})
        monkeypatch.setattr(site.cloud, "image", lambda name: image)
        spec = ClusterSpec("a", image=spec, master=MasterSpec("small"), workers=WorkersSpec(1, "small"))
        return resolve(site.cloud, spec, ObservedCluster(), "c.yaml").desired_state()

    return resolved


def test_the_desired_state_of_a_stock_image(of_image):
    desired = of_image(ImageSpec("debian-13", stock=True), Image("img-debian"))
    assert (desired.image, desired.same_image) == ("img-debian", True)


@pytest.mark.parametrize(
    ("spec", "image", "disk", "said"),
    [
        (ImageSpec("debian"), Image("i"), 20, r"c.yaml: image: 'debian' is no golden image.*provision_inputs"),
        (ImageSpec("x", stock=True), Image("i", golden=True), 20, r"c.yaml: image.stock: 'x' is a golden image"),
        (ImageSpec("debian", stock=True), None, 20, r"c.yaml: image: cloud .* has no image 'debian'"),
        (ImageSpec("debian", stock=True), Image("i", 2), 8, r"small has a disk of 8 GiB, and image 'debian' needs 10"),
        (ImageSpec("debian", stock=True), Image("i", 30), 20, r"image 'debian' needs 30"),
    ],
)
def test_an_image_that_no_node_can_be_made_of(of_image, spec, image, disk, said):
    with pytest.raises(UsageError, match=said) as caught:
        of_image(spec, image, disk)
    assert caught.value.hint


def test_a_named_snapshot_does_not_count_what_users_have(make_site, monkeypatch):
    site = make_site()
    monkeypatch.setattr(site.cloud, "image", lambda name: Image("i", 4, golden=True, snapshot=True))
    spec = replace(site.spec, image=ImageSpec("ours"))
    assert resolve(site.cloud, spec, ObservedCluster(), "c.yaml").image == "i"
    limited = replace(spec, hub=HubSpec(limits=Limits(disk_mib=1024)))
    with pytest.raises(UsageError, match=r"c.yaml: hub.limits.disk: image 'ours' is a snapshot"):
        resolve(site.cloud, limited, ObservedCluster(), "c.yaml")


def test_new_nodes_get_the_image_of_the_others():
    servers = (Server("2", "a-worker-1", "worker", image="img-2"), Server("1", "a-master", "master", image="img-1"))
    assert used_image(ObservedCluster(servers=servers)) == "img-1"
    assert used_image(ObservedCluster()) == ""


@pytest.mark.parametrize(
    ("disk", "image", "said"),
    [
        (0, Image("i", golden=True), "small has no disk of its own"),
        (4, Image("i", min_disk=5, golden=True), "small has a disk of 4 GiB, and image 'other' needs 5"),
        (4, Image("i", size=(4 << 30) + 1, golden=True), "small has a disk of 4 GiB, and image 'other' needs 5"),
    ],
)
def test_a_flavor_whose_disk_cannot_hold_the_image(make_site, monkeypatch, disk, image, said):
    site = make_site()
    flavors = {"small": Flavor("small", 1, 2048, disk), "large": Flavor("large", 1, 2048, 5)}
    spec = ClusterSpec("a", image=ImageSpec("other"), master=MasterSpec("large"), workers=WorkersSpec(1, "small"))
    monkeypatch.setattr(site.cloud, "flavors", lambda: flavors)
    monkeypatch.setattr(site.cloud, "image", lambda _name: image)
    with pytest.raises(UsageError) as caught:
        resolve(site.cloud, spec, ObservedCluster(), "c.yaml")
    assert caught.value.message.startswith(f"c.yaml: workers.flavor: {said}")
    assert caught.value.hint == "Choose one with a larger disk: large."


def test_a_flavor_with_less_memory_than_the_image_needs(make_site, monkeypatch):
    site = make_site()
    flavors = {"small": Flavor("small", 1, 2048, 8), "large": Flavor("large", 1, 4096, 8), "x": Flavor("x", 1, 8192, 1)}
    spec = ClusterSpec("a", image=ImageSpec("other"), master=MasterSpec("large"), workers=WorkersSpec(1, "small"))
    monkeypatch.setattr(site.cloud, "flavors", lambda: flavors)
    monkeypatch.setattr(site.cloud, "image", lambda _name: Image("i", 5, golden=True, min_ram=4096))
    with pytest.raises(UsageError, match="small has 2048 MiB of memory, and image 'other' needs 4096") as caught:
        resolve(site.cloud, spec, ObservedCluster(), "c.yaml")
    assert caught.value.message.startswith("c.yaml: workers.flavor: ")
    assert caught.value.hint == "Choose one with more memory: large."


def test_a_quota_that_is_too_small(make_site):
    site = make_site()
    resolved = resolve(site.cloud, site.spec, ObservedCluster(), "c.yaml")
    plan = make_plan(resolved.desired_state(), ObservedCluster())
    check_quota(site.cloud, resolved, plan, ObservedCluster())
    site.cloud.limits = {"instances": 2}
    with pytest.raises(UsageError, match="quota of this project is too small: 3 instances, 2 left"):
        check_quota(site.cloud, resolved, plan, ObservedCluster())


def test_behind_a_bastion_this_machine_need_not_be_let_in_nor_find_a_way(make_site, monkeypatch):
    ranges = (IPv4Network("203.0.113.5/32"),)
    access, asked = access_of(make_site, monkeypatch, PRIVATE, None, access=ranges, bastion=Bastion("jump"))
    assert (access, asked) == (ranges, [])
