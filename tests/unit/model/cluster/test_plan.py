"""Desired and observed state -> steps. The tables in tests/unit/plans say what is seen, and which steps are left."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import yaml

from provision.base.errors import ProvisionError, UsageError
from provision.base.model import ClusterSpec, Flavor, HubSpec, NetworkSpec, User
from provision.model.cluster import resources
from provision.model.cluster.plan import DesiredState, plan, spec_hash, wanted_rules
from provision.model.cluster.quota import shortage
from provision.model.cluster.sizing import size

TABLES = Path(__file__).parents[2] / "plans"
RULES = frozenset({resources.Rule(22, 22, "10.0.0.1/32"), resources.Rule(7077, 7077, resources.NODES)})
WANTED = DesiredState(
    name="a",
    cidr="10.20.0.0/24",
    external="ext",
    rules=RULES,
    image="img",
    master_flavor="small",
    worker_flavor="small",
    count=2,
    spec="s1",
)


def server(name, **changes):
    """A server as a table writes it: its name, and what is not as it should be."""
    role = "master" if name.endswith("master") else "worker"
    whole = resources.Server(
        id=changes.pop("id", f"id-{name}"),
        name=name,
        role=role,
        flavor="small",
        image="img",
        spec="s1",
        floating="172.29.0.9" if role == "master" else "",
    )
    return replace(whole, **changes)


def observed(has):
    """Build what is seen from a table's short words."""
    tagged = {
        kind: kind not in has.get("untagged", ()) for kind in ("network", "subnet", "router", "group", "port", "ip")
    }
    things = has.get("things", [])
    rules = [resources.Rule(rule[0], rule[1], rule[2]) for rule in has.get("rules", [])] or sorted(RULES)
    leg = resources.Port("leg", device="r", owner="network:router_interface", marked=False)
    port = resources.Port("p", "a-master", tagged["port"], address="10.20.0.10")
    return resources.ObservedCluster(
        networks=tuple(
            resources.Network(f"n{place}", "a", tagged["network"]) for place in range(things.count("network"))
        ),
        subnets=(resources.Subnet("s", "a", tagged["subnet"], has.get("cidr", WANTED.cidr), "n0"),)
        if "subnet" in things
        else (),
        routers=(resources.Router("r", "a", tagged["router"], has.get("external", "ext")),)
        if "router" in things
        else (),
        groups=(
            resources.Group(
                "g", "a", tagged["group"], tuple((rule, "x") for rule in rules) if "rules" in things else ()
            ),
        )
        if "group" in things
        else (),
        ports=(*((leg,) if "leg" in things else ()), *((port,) if "port" in things else ())),
        floatings=(resources.Floating("f", "", tagged["ip"], "172.29.0.9", has.get("leads to", "p")),)
        if "ip" in things
        else (),
        keys=(resources.KeyPair("provision-a", "ssh-ed25519 AAAA"),) if "key" in things else (),
        servers=tuple(server(**one) if isinstance(one, dict) else server(one) for one in has.get("servers", [])),
    )


def tables():
    for file in sorted(TABLES.glob("*.yaml")):
        for name, case in yaml.safe_load(file.read_text()).items():
            yield pytest.param(case, id=f"{file.stem}: {name}")


@pytest.mark.parametrize("case", list(tables()))
def test_table(case):
    seen = observed(case.get("seen") or {})
    desired = replace(WANTED, **(case.get("wanted") or {}))
    if "refused" in case:
        with pytest.raises((UsageError, ProvisionError), match=case["refused"]):
            plan(desired, seen)
        return
    made = plan(desired, seen)
    said = [f"{step.verb} {step.kind} {step.name}{' !' if step.destructive else ''}" for step in made.steps]
    assert said == (case.get("plan") or [])
    for part in case.get("why") or []:
        assert any(part in step.why for step in made.steps), part
    assert made.as_data()["nothing_to_do"] is (not said)


def test_rules_are_exactly_the_pinned_ports():
    spec = ClusterSpec("a", hub=replace(HubSpec(), port=8443))
    said = sorted(str(rule) for rule in wanted_rules(spec, [IPv4Network("192.0.2.0/24")]))
    assert said == [
        "18080 from 192.0.2.0/24",
        "22 from 192.0.2.0/24",
        "22 from nodes",
        "4040-4050 from 192.0.2.0/24",
        "7077 from nodes",
        "7078 from nodes",
        "7100-7132 from nodes",
        "7200-7232 from nodes",
        "7300-7332 from nodes",
        "8080 from 192.0.2.0/24",
        "8081 from 192.0.2.0/24",
        "8081 from nodes",
        "8443 from 192.0.2.0/24",
    ]


def test_the_hash_follows_what_nodes_are_configured_with():
    flavors = {"m1.small": Flavor("m1.small", 1, 2048, 8)}
    spec = ClusterSpec("a")
    sizing = size(spec, flavors)
    one = spec_hash(spec, sizing)
    assert one == spec_hash(ClusterSpec("a"), sizing)
    assert one == spec_hash(replace(spec, network=NetworkSpec(external="x")), sizing)
    changed = [
        spec_hash(replace(spec, hub=HubSpec(users=(User("bob"),))), sizing),
        spec_hash(replace(spec, hub=HubSpec(idle_timeout=60)), sizing),
        spec_hash(replace(spec, network=NetworkSpec(access=(IPv4Network("192.0.2.0/24"),))), sizing),
        spec_hash(spec, replace(sizing, app_cores=3)),
        spec_hash(spec, sizing, "a certificate"),
    ]
    assert len({one, *changed}) == 6


def test_shortage():
    spec = ClusterSpec("a", workers=replace(ClusterSpec("a").workers, count=4))
    flavors = {"m1.small": Flavor("m1.small", 2, 2048, 8)}
    made = plan(
        replace(WANTED, count=4, master_flavor="m1.small", worker_flavor="m1.small"), resources.ObservedCluster()
    )
    assert shortage(made, spec, flavors, {}) == []
    assert shortage(made, spec, flavors, {"instances": 5, "cores": 10, "ports": 5, "networks": 1}) == []
    assert shortage(made, spec, flavors, {"instances": 4, "cores": 8, "ports": 4, "networks": 0}) == [
        "1 networks, 0 left",
        "5 ports, 4 left",
        "5 instances, 4 left",
        "10 cores, 8 left",
    ]


@pytest.mark.parametrize(("text", "expected"), [("a-worker-2", "a-worker-10"), ("a2-worker-1", "a10-worker-1")])
def test_natural_order(text, expected):
    assert resources.natural(text) < resources.natural(expected)


def test_a_new_groups_rules_are_few_words():
    access = [IPv4Network("192.0.2.0/24"), IPv4Network("198.51.100.7/32")]
    rules = wanted_rules(ClusterSpec("a"), access)
    made = plan(replace(WANTED, rules=rules), resources.ObservedCluster())
    said = next(step.why for step in made.steps if (step.verb, step.kind) == ("update", "security group"))
    assert "443, 4040-4050, 8080, 8081, 18080 from 192.0.2.0/24, 198.51.100.7/32" in said
    assert said.count(" from ") == 2
    for rule in rules:
        assert rule.ports in said
