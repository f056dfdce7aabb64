"""A plan's needs against the project's quotas."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision.base.model import Flavor
from provision.model.cluster.quota import arithmetic, needs, shortage
from provision.model.cluster.resources import Group, ObservedCluster, Port, Rule, Server, ServerGroup
from provision.model.cluster.steps import DesiredState, Plan, Step

FLAVORS = {"small": Flavor("small", 1, 2048, 8), "large": Flavor("large", 4, 8192, 8)}
RULES = frozenset({Rule(22, 22, "nodes"), Rule(443, 443, "192.0.2.0/24")})
DESIRED = DesiredState("a", "10.20.0.0/24", "ext", RULES, "img", "large", "small", 4, "hash")
NOTHING = ObservedCluster()
WORKERS = tuple(f"a-worker-{number}" for number in range(1, 5))
SERVERS = (
    Step("create", "server", "a-master", "", ("a-master",)),
    Step("create", "server", "a-worker-1 to 4", "", WORKERS),
)
EVERYTHING = Plan(
    "a",
    (
        *(
            Step("create", kind, "a", "")
            for kind in ("network", "subnet", "router", "security group", "port", "floating IP", "key pair")
        ),
        Step("update", "security group", "a", ""),
        *SERVERS,
    ),
)


def said(room, plan=EVERYTHING, desired=DESIRED, observed=NOTHING):
    return sorted(shortage(needs(plan, desired, FLAVORS, observed), room).values())


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        ({}, []),
        ({"instances": 5, "cores": 8, "RAM (MiB)": 16384, "ports": 5, "networks": 1, "floating IPs": 1}, []),
        (
            {"instances": 4, "cores": 7, "RAM (MiB)": 16383, "ports": 4, "networks": 0},
            [
                "1 networks, 0 left",
                "16384 RAM (MiB), 16383 left",
                "5 instances, 4 left",
                "5 ports, 4 left",
                "8 cores, 7 left",
            ],
        ),
        ({"subnets": 0, "routers": 0}, ["1 routers, 0 left", "1 subnets, 0 left"]),
        ({"security groups": 0, "floating IPs": 0}, ["1 floating IPs, 0 left", "1 security groups, 0 left"]),
        ({"security group rules": 3, "server groups": 0}, ["4 security group rules, 3 left"]),
    ],
)
def test_a_new_cluster(room, expected):
    assert said(room) == expected


def test_a_deleted_server_makes_room_for_another():
    steps = (
        Step("delete", "server", "a-worker-1", "", ("id",)),
        Step("create", "server", "a-worker-1", "", ("a-worker-1",)),
    )
    seen = ObservedCluster(servers=(Server("id", "a-worker-1", "worker", flavor="small"),))
    nothing = dict.fromkeys(("instances", "cores", "RAM (MiB)", "ports"), 0)
    assert said(nothing, Plan("a", steps), observed=seen) == []
    assert said({"instances": 0}, Plan("a", steps[1:])) == ["1 instances, 0 left"]


def test_ports_that_are_made_before_workers_count_once_and_stay_when_a_worker_goes():
    desired = replace(DESIRED, own_ports="on one of several")
    ports = Step("create", "port", "a-worker-1 to 4", "", WORKERS)
    assert needs(Plan("a", (ports, *SERVERS)), desired, FLAVORS, NOTHING)["ports"] == 4
    seen = ObservedCluster(
        servers=(Server("id", "a-worker-1", "worker", flavor="small"),),
        ports=(Port("p", "a-worker-1", device="id", worker=True),),
    )
    again = (Step("delete", "server", "a-worker-1", "", ("id",)), Step("create", "server", "", "", ("a-worker-1",)))
    assert "ports" not in needs(Plan("a", again), desired, FLAVORS, seen)
    gone = (again[0], Step("delete", "port", "a-worker-1", "", ("p",)), Step("create", "port", "a", ""))
    assert "ports" not in needs(Plan("a", gone), desired, FLAVORS, seen)


def test_rules_that_are_there_are_not_made_again():
    seen = ObservedCluster(groups=(Group("g", rules=((Rule(22, 22, "nodes"), "r"), (None, "s"))),))
    plan = Plan("a", (Step("update", "security group", "a", ""),))
    assert needs(plan, DESIRED, FLAVORS, seen) == {"security group rules": 1}


def test_a_server_group_counts_and_so_do_the_servers_in_it():
    spread = replace(DESIRED, policy="anti-affinity")
    plan = Plan("a", (Step("create", "server group", "provision-a", ""), *SERVERS))
    assert said({"server groups": 0, "servers in a server group": 3}, plan, spread) == [
        "1 server groups, 0 left",
        "4 servers in a server group, 3 left",
    ]
    own = ServerGroup("sg", "provision-a", "anti-affinity", frozenset({"v1", "v2", "gone"}))
    more = Plan("a", (Step("remove", "server", "", "", ("gone",)), Step("create", "server", "", "", ("a-worker-9",))))
    seen = ObservedCluster(server_groups=(own,))
    assert needs(more, spread, FLAVORS, seen)["servers in a server group"] == 3


def test_an_existing_server_group_may_have_others_in_it():
    racks = ServerGroup("racks", "racks", "affinity", frozenset({"theirs"}))
    both = replace(DESIRED, master_group=racks, worker_group=racks)
    assert needs(Plan("a", SERVERS), both, FLAVORS, NOTHING)["servers in a server group"] == 6
    assert "servers in a server group" not in needs(Plan("a", SERVERS), DESIRED, FLAVORS, NOTHING)


def test_other_changes_need_nothing():
    steps = (Step("tag", "network", "a", "", ("n",)), Step("start", "server", "a-master", "", ("1",)))
    assert needs(Plan("a", steps), DESIRED, FLAVORS, NOTHING) == {}


def test_what_is_taken_is_said_where_quotas_limit_it():
    need = needs(EVERYTHING, DESIRED, FLAVORS, NOTHING)
    assert arithmetic(need, {"instances": 10, "floating IPs": 1, "server groups": 4}) == (
        "of what the project's quotas leave, this takes 1 of 1 floating IPs, 5 of 10 instances"
    )
    assert not arithmetic(need, {})
