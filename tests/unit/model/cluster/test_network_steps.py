"""The network's steps, beside the tables of tests/unit/plans (test_plan.py)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from provision.base.errors import ProvisionError
from provision.base.model import ClusterSpec, HubSpec, MasterSpec
from provision.model.cluster.network_steps import access_steps, network_steps, wanted_rules
from provision.model.cluster.resources import Floating, ObservedCluster
from provision.model.cluster.steps import DesiredState


def desired(**changes):
    whole = DesiredState("a", "10.20.0.0/24", "ext", frozenset(), "img", "small", "small", 1, "hash")
    return replace(whole, **changes)


def test_a_hub_of_its_own_asks_the_masters_page():
    more = ClusterSpec("a", hub=HubSpec(node=MasterSpec()))
    assert {str(rule) for rule in wanted_rules(more, ()) - wanted_rules(ClusterSpec("a"), ())} == {"8080 from nodes"}


def test_rules_are_exactly_the_pinned_ports():
    spec = ClusterSpec("a", hub=replace(HubSpec(), port=8443))
    said = sorted(str(rule) for rule in wanted_rules(spec, [IPv4Network("192.0.2.0/24")]))
    assert said == [
        "2049 from nodes",
        "22 from 192.0.2.0/24",
        "22 from nodes",
        "7077 from nodes",
        "7078 from nodes",
        "7100-7199 from nodes",
        "7200-7299 from nodes",
        "7300-7399 from nodes",
        "8081 from nodes",
        "8443 from 192.0.2.0/24",
    ]


def test_monitoring_opens_one_more_port_between_the_nodes_and_none_to_people():
    spec = ClusterSpec("a")
    access = [IPv4Network("192.0.2.0/24")]
    more = wanted_rules(replace(spec, monitoring=True), access) - wanted_rules(spec, access)
    assert [str(rule) for rule in more] == ["9100 from nodes"]


def test_a_new_groups_rules_are_few_words():
    access = [IPv4Network("192.0.2.0/24"), IPv4Network("198.51.100.7/32")]
    rules = wanted_rules(ClusterSpec("a"), access)
    made = network_steps(desired(rules=rules), ObservedCluster())
    said = next(step.why for step in made if (step.verb, step.kind) == ("update", "security group"))
    assert "22, 443 from 192.0.2.0/24, 198.51.100.7/32" in said
    assert said.count(" from ") == 2
    for rule in rules:
        assert rule.ports in said


def test_on_an_existing_network_none_is_made():
    made = network_steps(desired(network="net-there", subnet="sub-there"), ObservedCluster())
    assert [(step.verb, step.kind) for step in made] == [("create", "security group")]


def test_two_floating_ips_are_too_many():
    observed = ObservedCluster(floatings=(Floating("f", address="172.29.0.9"), Floating("g", address="172.29.0.8")))
    with pytest.raises(ProvisionError, match="2 floating IPs"):
        list(access_steps(desired(), observed))
