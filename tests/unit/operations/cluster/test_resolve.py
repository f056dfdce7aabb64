"""Who is let in when the spec does not say, and what a spec may say."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from provision.adapters import net
from provision.adapters.openstack.cloud import External
from provision.base.errors import UsageError
from provision.base.model import ClusterSpec, NetworkSpec
from provision.model.cluster.resources import Floating, ObservedCluster
from provision.operations.cluster.resolve import resolve

PRIVATE = External("ext", (IPv4Network("172.29.0.0/24"),), "172.29.0.1")
# 198.51.100.0/24 and its like are reserved, and so "private" to Python: 8.8.8.8 stands for a public cloud.
PUBLIC = External("ext", (IPv4Network("8.8.8.0/24"),), "8.8.8.1")


def look(make_site, monkeypatch, external, own, *, access=None, seen=None):
    site = make_site()
    asked = []

    def source(target):
        asked.append(target)
        return own

    monkeypatch.setattr(net, "source_address", source)
    monkeypatch.setattr(site.cloud, "external", lambda name: external)
    spec = ClusterSpec("a", network=replace(NetworkSpec(), access=access))
    return resolve(site.cloud, spec, seen or ObservedCluster(), "c.yaml").access, asked


def test_this_machine(make_site, monkeypatch):
    access, asked = look(make_site, monkeypatch, PRIVATE, "172.29.0.1")
    assert access == (IPv4Network("172.29.0.1/32"),)
    assert asked == ["172.29.0.1"]


def test_the_floating_ip_is_asked_for_where_there_is_one(make_site, monkeypatch):
    seen = ObservedCluster(floatings=(Floating("f", address="172.29.0.107"),))
    assert look(make_site, monkeypatch, PRIVATE, "172.29.0.1", seen=seen)[1] == ["172.29.0.107"]


def test_a_cloud_that_hides_its_external_subnets(make_site, monkeypatch):
    monkeypatch.setattr(net, "address_of", {"cloud.example.org": "10.9.9.9"}.get)
    access, asked = look(make_site, monkeypatch, External("ext"), "10.9.0.5")
    assert asked == ["10.9.9.9"]
    assert access == (IPv4Network("10.9.0.5/32"),)


def test_a_public_cloud_that_hides_its_external_subnets(make_site, monkeypatch):
    monkeypatch.setattr(net, "address_of", lambda host: "8.8.8.8")
    with pytest.raises(UsageError, match="behind address translation"):
        look(make_site, monkeypatch, External("ext"), "192.168.1.5")


def test_a_public_address_before_a_public_cloud(make_site, monkeypatch):
    assert look(make_site, monkeypatch, PUBLIC, "9.9.9.9")[0] == (IPv4Network("9.9.9.9/32"),)


REFUSED = {
    "behind address translation": (PUBLIC, "192.168.1.5", None, "behind address translation", "access:"),
    "not in its own list": (PRIVATE, "172.29.0.1", "192.0.2.0/24", "172.29.0.1 towards the cloud", "172.29.0.1/32"),
    "no route": (PRIVATE, None, None, "no route to 172.29.0.1", "connect"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(make_site, monkeypatch, case):
    external, own, access, message, hint = REFUSED[case]
    ranges = None if access is None else (IPv4Network(access),)
    with pytest.raises(UsageError) as caught:
        look(make_site, monkeypatch, external, own, access=ranges)
    assert caught.value.message.startswith("c.yaml: network.")
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_behind_address_translation_with_a_list(make_site, monkeypatch):
    ranges = (IPv4Network("9.9.9.0/24"),)
    assert look(make_site, monkeypatch, PUBLIC, "192.168.1.5", access=ranges)[0] == ranges
