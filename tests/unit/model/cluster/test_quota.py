"""A plan's needs against the project's quotas."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision.base.model import ClusterSpec, Flavor, MasterSpec, WorkersSpec
from provision.model.cluster.quota import shortage
from provision.model.cluster.resources import ObservedCluster, Server
from provision.model.cluster.steps import Plan, Step

FLAVORS = {"small": Flavor("small", 1, 2048, 8), "large": Flavor("large", 4, 8192, 8)}
SPEC = ClusterSpec("a", master=MasterSpec("large"), workers=WorkersSpec(4, "small"))
WORKERS = tuple(f"a-worker-{number}" for number in range(1, 5))
EVERYTHING = Plan(
    "a",
    (
        *(
            Step("create", kind, "a", "")
            for kind in ("network", "subnet", "router", "security group", "port", "floating IP", "key pair")
        ),
        Step("create", "server", "a-master", "", ("a-master",)),
        Step("create", "server", "a-worker-1 to 4", "", WORKERS),
    ),
)


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        ({}, []),
        ({"instances": 5, "cores": 8, "RAM (MiB)": 16384, "ports": 5, "networks": 1, "floatingips": 1}, []),
        (
            {"instances": 4, "cores": 7, "RAM (MiB)": 16383, "ports": 4, "networks": 0},
            [
                "1 networks, 0 left",
                "5 ports, 4 left",
                "5 instances, 4 left",
                "8 cores, 7 left",
                "16384 RAM (MiB), 16383 left",
            ],
        ),
        ({"subnets": 0, "routers": 0}, ["1 subnets, 0 left", "1 routers, 0 left"]),
        ({"security groups": 0, "floatingips": 0}, ["1 security groups, 0 left", "1 floatingips, 0 left"]),
    ],
)
def test_a_new_cluster(room, expected):
    assert sorted(shortage(EVERYTHING, SPEC, FLAVORS, room)) == sorted(expected)


def test_a_deleted_server_makes_room_for_another():
    steps = (
        Step("delete", "server", "a-worker-1", "", ("id",)),
        Step("create", "server", "a-worker-1", "", ("a-worker-1",)),
    )
    seen = ObservedCluster(servers=(Server("id", "a-worker-1", "worker", flavor=SPEC.workers.flavor),))
    nothing = dict.fromkeys(("instances", "cores", "RAM (MiB)", "ports"), 0)
    assert shortage(Plan("a", steps), SPEC, FLAVORS, nothing, seen) == []
    assert shortage(Plan("a", steps[1:]), SPEC, FLAVORS, {"instances": 0}) == ["1 instances, 0 left"]


def test_other_changes_need_nothing():
    steps = (Step("tag", "network", "a", "", ("n",)), Step("start", "server", "a-master", "", ("1",)))
    room = dict.fromkeys(("networks", "instances", "cores", "ports"), 0)
    assert shortage(Plan("a", steps), replace(SPEC), FLAVORS, room) == []
