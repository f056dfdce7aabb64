from __future__ import annotations

from provision.base.model import ClusterSpec, HubSpec, MasterSpec, Node
from provision.base.roles import first_of, with_hub

MASTER, HUB = Node("a-master", "master", "10.20.0.10"), Node("a-hub", "hub", "10.20.0.11")
WORKER = Node("a-worker-1", "worker", "10.20.0.12")


def test_the_hub_is_on_the_master_unless_it_has_a_node_of_its_own() -> None:
    assert with_hub([WORKER, MASTER]) is MASTER
    assert with_hub([MASTER, WORKER, HUB]) is HUB
    assert with_hub([WORKER]) is None


def test_a_spec_says_the_same() -> None:
    spec = ClusterSpec("a")
    assert (spec.hub_role, spec.hub_node) == ("master", spec.master)
    spec = ClusterSpec("a", hub=HubSpec(node=MasterSpec("large")))
    assert (spec.hub_role, spec.hub_node) == ("hub", MasterSpec("large"))
    assert spec.roles == ("master", "hub", "worker")


def test_nodes_are_listed_by_what_they_are_for() -> None:
    assert sorted([WORKER, HUB, MASTER], key=lambda node: first_of(node.role)) == [MASTER, HUB, WORKER]
