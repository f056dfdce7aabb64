"""Rules that tie several fields of a spec together."""

from __future__ import annotations

import pytest

from provision.clusterfile.checks import OVERHEAD, problems
from provision.clusterfile.models import ClusterModel

# id: text of the file, line that is named, parts of the message, part of the hint
STOCK = "name: a\nimage: {name: debian-13, stock: true}\n"
BAD = {
    "golden is none of a vendor's": (
        "name: a\nimage: {name: golden, stock: true}",
        2,
        ["image.name", "with everything in it"],
        "vendor's image",
    ),
    "sources of a golden image": ("name: a\nimage: {name: ours, sources: host}", 2, ["image.sources"], "stock: true"),
    "sources of the golden image": ("name: a\nimage: {name: golden, sources: image}", 2, ["nothing is installed"], ""),
    "no stock, and sources": ("name: a\nimage: {name: x, stock: false, sources: host}", 2, ["image.sources"], "Remove"),
    "users' disks on a stock image": (
        STOCK + "hub: {limits: {disk: 10g}}",
        3,
        ["hub.limits.disk", "does not count"],
        "golden image",
    ),
    "loopback": ("name: a\nnetwork: {cidr: 127.0.0.0/24}", 2, ["network.cidr", "loopback"], "private"),
    "metadata range": ("name: a\nnetwork: {cidr: 169.254.0.0/16}", 2, ["network.cidr", "metadata"], "private"),
    "multicast": ("name: a\nnetwork: {cidr: 224.1.0.0/24}", 2, ["multicast"], "private"),
    "all addresses are one problem": (
        "name: a\nnetwork: {cidr: 0.0.0.0/0}",
        2,
        ["network.cidr: 0.0.0.0/0 overlaps 0.0.0.0/8, this network"],
        "private range",
    ),
    "too small": ("name: a\nnetwork: {cidr: 10.0.0.0/29}", 2, ["room for 2 nodes", "has 3"], "/28"),
    "too small for many": (
        "name: a\nnetwork: {cidr: 10.0.0.0/24}\nworkers: {count: 300}",
        2,
        ["room for 250 nodes", "has 301"],
        "/23",
    ),
    "bastion and no access": (
        "name: a\nnetwork: {bastion: jump}",
        2,
        ["network.bastion", "has to be let in"],
        "access: [192.0.2.7/32]",
    ),
    "access empty": ("name: a\nnetwork: {access: []}", 2, ["network.access", "nobody"], "192.0.2.0/24"),
    "access twice": ("name: a\nnetwork: {access: [1.2.3.0/24, 1.2.3.0/24]}", 2, ["access[1]", "twice"], "wider"),
    "access overlapping": ("name: a\nnetwork: {access: [1.2.3.0/24, 1.2.0.0/16]}", 2, ["overlaps"], "wider"),
    "access inside cidr": ("name: a\nnetwork: {access: [10.20.0.8/29]}", 2, ["inside network.cidr"], "outside"),
    "an existing network has a range": ("name: a\nnetwork: {existing: t, cidr: 10.1.0.0/24}", 2, ["cidr"], "existing"),
    "an existing network has a router": ("name: a\nnetwork: {existing: t, router: r}", 2, ["router"], "Remove it"),
    "an existing network has name servers": (
        "name: a\nnetwork: {existing: t, nameservers: [192.0.2.53]}",
        2,
        ["network.nameservers", "has name servers already"],
        "Remove it",
    ),
    "name servers of nothing": (
        "name: a\nnetwork: {existing: t, nameservers: []}",
        2,
        ["network.nameservers"],
        "Remove it",
    ),
    "a name server twice": (
        "name: a\nnetwork: {nameservers: [192.0.2.53, 192.0.2.53]}",
        2,
        ["network.nameservers[1]", "twice"],
        "Keep one",
    ),
    "too many name servers": (
        "name: a\nnetwork: {nameservers: [192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4, 192.0.2.5, 192.0.2.6]}",
        2,
        ["network.nameservers", "6 name servers are more than"],
        "Keep 5",
    ),
    "no users": ("name: a\nhub: {users: []}", 2, ["hub.users", "nobody could log in"], "[alice]"),
    "a group is a user": (
        "name: a\nhub: {users: [b, {name: c, groups: [b]}]}",
        2,
        ["hub.users[1].groups[0]", "is a user too"],
        "another name",
    ),
    "group twice": (
        "name: a\nhub: {users: [{name: b, groups: [t, t]}]}",
        2,
        ["hub.users[0].groups[1]", "twice"],
        "Keep one",
    ),
    "user twice": ("name: a\nhub: {users: [bob, {name: bob}]}", 2, ["hub.users[1]", "twice"], "Keep one"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_spec(case, refused):
    refused(*BAD[case])


def model(**fields):
    return ClusterModel.model_validate({"name": "a", **fields})


def test_the_default_cluster_is_right():
    assert problems(model()) == []


@pytest.mark.parametrize(("count", "right"), [(256 - OVERHEAD - 1, True), (256 - OVERHEAD, False)])
def test_a_range_is_filled_up_to_its_last_node(count, right):
    found = problems(model(network={"cidr": "10.20.0.0/24"}, workers={"count": count}))
    assert (found == []) is right


def test_all_problems_are_listed():
    found = problems(
        model(
            network={"cidr": "127.0.0.0/24", "access": ["127.0.0.0/30", "127.0.0.0/30"]},
            spark={"defaults": {"spark.master": "x", "spark.ui.port": 1}},
            hub={"users": ["bob", "bob"]},
        )
    )
    assert [problem.field for problem in found] == [
        "network.cidr",
        "network.access[1]",
        "network.access[0]",
        "network.access[1]",
        "spark.defaults.spark.master",
        "spark.defaults.spark.ui.port",
        "hub.users[1]",
    ]
