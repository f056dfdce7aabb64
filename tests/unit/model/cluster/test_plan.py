"""Desired and observed state -> steps, as tables in tests/unit/plans.

A case is a spec, what the cloud holds, and the steps that are expected, or the error:

    a worker is switched off:
      spec: {workers: {count: 3}}     # cluster.yaml, besides `name: a`; without it: every default
      observed:                       # what differs from the cluster that the default spec describes, or `nothing`
        servers: [a-master, a-worker-1, {name: a-worker-2, status: SHUTOFF}]
        routers: []
      golden: newer                   # the golden image's id; without it: the one that the nodes have
      replace: true                   # `up --replace`
      waiting: [id-a-master]          # servers whose data is on this machine and was not restored
      without_data: true              # `up --without-data`
      steps:
      - {verb: start, kind: server, name: a-worker-2, ids: [id-a-worker-2], why: it is SHUTOFF}

In lists of resources, {} stands for the one that belongs there, and what is written in it differs from that.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import yaml

from provision.adapters.openstack.cloud import External
from provision.base.constants import Ports
from provision.base.errors import ProvisionError
from provision.base.model import ClusterSpec, Flavor, HubSpec, NetworkSpec, User
from provision.clusterfile.models import ClusterModel, to_spec
from provision.model.cluster import resources
from provision.model.cluster.plan import plan, spec_hash
from provision.model.cluster.sizing import size
from provision.model.cluster.steps import WaitingData
from provision.operations.cluster.resolve import ResolvedSpec, ThingsThere

TABLES = Path(__file__).parents[2] / "plans"
FLAVORS = {flavor.name: flavor for flavor in (Flavor("m1.small", 1, 2048, 8), Flavor("m1.medium", 2, 4096, 16))}
NETWORKS = {"public": "ext", "campus": "ext-campus"}
IMAGES = {"golden": "", "debian": "img-debian"}
THIS_MACHINE = IPv4Network("10.0.0.1/32")
GOLDEN = "img-golden"
FLOATING = "172.29.0.9"
THERE = {"racks": resources.ServerGroup("racks-there", "racks", "anti-affinity", frozenset({"id-a-worker-1"}))}


def desired_state(fields, *, golden=GOLDEN, refresh=False):
    """The desired state of a spec, as `up` makes it on a cloud that has what the tables name."""
    spec = to_spec(ClusterModel.model_validate({"name": "a", **fields}), tls=None)
    resolved = ResolvedSpec(
        spec=spec,
        source="cluster.yaml",
        flavors=FLAVORS,
        sizing=size(spec, FLAVORS),
        external=External(NETWORKS[spec.network.external]),
        access=spec.network.access or (THIS_MACHINE,),
        image=IMAGES[spec.image.name],
        there=ThingsThere(
            network="net-there" if spec.network.existing else "",
            several_subnets=bool(spec.network.subnet),
            port_security=spec.network.existing != "open",
            security_groups=tuple(f"sg-{name}" for name in spec.network.security_groups),
            master_group=THERE.get(spec.master.server_group),
            worker_group=THERE.get(spec.workers.server_group),
            subnet="sub-there" if spec.network.existing else "",
            router="rt-there" if spec.network.router else "",
            floating="fip-there" if isinstance(spec.network.floating_ip, str) else "",
        ),
    )
    return resolved.desired_state("" if IMAGES[spec.image.name] else golden, refresh=refresh)


DEFAULT = desired_state({})


def rule(text):
    """`22 from nodes`, `7100-7199 from nodes`; `foreign` is a rule of another shape."""
    if text == "foreign":
        return None
    ports, _, peer = text.partition(" from ")
    first, _, last = ports.partition("-")
    return resources.Rule(int(first), int(last or first), peer)


def group(lacks=(), has=(), **changes):
    rules = [*sorted(DEFAULT.rules - {rule(text) for text in lacks}), *(rule(text) for text in has)]
    found = resources.Group("g", "a", rules=tuple((one, f"rule-{place}") for place, one in enumerate(rules)))
    return replace(found, **changes)


def port(name, **changes):
    own = {
        "a-master": resources.Port("p", name, address="10.20.0.10", network="n", groups=("g",)),
        "a-hub": resources.Port("h", name, address="10.20.0.12", network="n", groups=("g",), hub=True),
        "router": resources.Port("leg", device="r", owner="network:router_interface", network="n", marked=False),
        "a-worker-1": resources.Port(
            "w", device="id-a-worker-1", owner="compute:nova", network="n", groups=("g",), marked=False
        ),
        # Made before its worker, as where network.subnet is one of several.
        "a-worker-2": resources.Port(
            "w2", "a-worker-2", device="id-a-worker-2", network="n", groups=("g",), worker=True
        ),
    }
    changes = {key: tuple(value) if isinstance(value, list) else value for key, value in changes.items()}
    return replace(own[name], **changes)


def subnet(nameservers=(), **changes):
    found = resources.Subnet("s", "a", cidr=DEFAULT.cidr, network="n", nameservers=tuple(nameservers))
    return replace(found, **changes)


def server_group(members=(), **changes):
    found = resources.ServerGroup("sg", "provision-a", "soft-anti-affinity", frozenset(members))
    return replace(found, **changes)


def server(name, **changes):
    role = resources.role_of("a", name)
    own = resources.Server(
        id=f"id-{name}",
        name=name,
        role=role,
        address="10.20.0.10" if role == "master" else "10.20.0.11",
        flavor="m1.small",
        image=GOLDEN,
        spec=DEFAULT.spec,
        floating=FLOATING if role == "master" else "",
        certificate="9999-12-31" if role == "master" else "",
        accounts=DEFAULT.accounts if role == "master" else "",
    )
    return replace(own, **changes)


MAKERS = {
    "networks": lambda **changes: replace(resources.Network("n", "a"), **changes),
    "subnets": subnet,
    "routers": lambda **changes: replace(resources.Router("r", "a", external="ext"), **changes),
    "groups": group,
    "ports": port,
    "floatings": lambda **changes: replace(resources.Floating("f", address=FLOATING, port="p"), **changes),
    "keys": lambda **changes: replace(resources.KeyPair("provision-a", "ssh-ed25519 AAAA"), **changes),
    "servers": server,
    "server_groups": server_group,
}
COMPLETE = {
    **{kind: [{}] for kind in ("networks", "subnets", "routers", "groups", "floatings", "keys")},
    "ports": ["router", "a-master", "a-worker-1"],
    "servers": ["a-master", "a-worker-1", "a-worker-2"],
}


def observed(differences):
    """What the cloud holds, from a table's words."""
    if differences == "nothing":
        return resources.ObservedCluster()
    found = {}
    for kind, entries in {**COMPLETE, **differences}.items():
        changes = [{"name": entry} if isinstance(entry, str) else entry for entry in entries]
        found[kind] = tuple(MAKERS[kind](**change) for change in changes)
    found["servers"] = resources.in_groups(found["servers"], (*found.get("server_groups", ()), *THERE.values()))
    return resources.ObservedCluster(**found)


def step_data(step):
    """A step as a table writes it: without ids where there are none, and `destructive` only where it is true."""
    data = {"verb": step.verb, "kind": step.kind, "name": step.name, "ids": list(step.ids), "why": step.why}
    if not step.ids:
        del data["ids"]
    return {**data, "destructive": True} if step.destructive else data


def tables():
    for file in sorted(TABLES.glob("*.yaml")):
        for name, case in yaml.safe_load(file.read_text()).items():
            yield pytest.param(case, id=f"{file.stem}: {name}")


@pytest.mark.parametrize("case", list(tables()))
def test_table(case):
    desired = desired_state(case.get("spec", {}), golden=case.get("golden", GOLDEN), refresh=case.get("replace", False))
    seen = observed(case.get("observed", {}))
    data = WaitingData(tuple(case.get("waiting", ())), case.get("without_data", False))
    if "error" in case:
        with pytest.raises(ProvisionError) as caught:
            plan(desired, seen, data)
        error = caught.value
        assert case["error"] == {"type": type(error).__name__, "message": error.message, "hint": error.hint}
        return
    made = plan(desired, seen, data)
    assert [step_data(step) for step in made.steps] == case["steps"]
    assert made.cluster == "a"
    assert bool(made) is bool(case["steps"])


def test_a_network_without_port_security_is_noted():
    (note,) = plan(desired_state({"network": {"existing": "open"}}), observed("nothing")).notes
    assert note.startswith("network.existing has port security off")
    assert plan(DEFAULT, observed("nothing")).notes == ()


def test_more_users_than_notebooks_at_once_are_noted():
    def people(count):
        return {"hub": {"users": [{"name": f"user{number}"} for number in range(count)]}}

    assert plan(desired_state(people(100)), observed("nothing")).notes == ()
    (note,) = plan(desired_state(people(101)), observed("nothing")).notes
    assert note.startswith("hub.users names 101 people, and at most 100 notebooks")
    # A plan for other nodes does not repeat it.
    desired = desired_state(people(101))
    seen = observed({"servers": ["a-master", "a-worker-1"]})
    assert plan(replace(desired, spec=seen.hub_server.spec, accounts=seen.hub_server.accounts), seen).notes == ()


def test_there_are_enough_tables():
    assert len(list(tables())) >= 60


def test_a_live_cluster_is_configured_in_place_when_more_ports_are_open(monkeypatch):
    flavors = {"m1.small": Flavor("m1.small", 1, 2048, 8)}
    spec = ClusterSpec("a")
    now = spec_hash(spec, size(spec, flavors))
    monkeypatch.setattr("provision.model.cluster.plan.PORTS", Ports(retries=32))
    assert spec_hash(spec, size(spec, flavors)) != now


def test_the_hash_follows_what_nodes_are_configured_with():
    flavors = {"m1.small": Flavor("m1.small", 1, 2048, 8)}
    spec = ClusterSpec("a")
    sizing = size(spec, flavors)
    one = spec_hash(spec, sizing)
    assert one == spec_hash(ClusterSpec("a"), sizing)
    assert one == spec_hash(replace(spec, network=NetworkSpec(external="x")), sizing)
    changed = [
        # A user who is not alone has not the memory of all.
        spec_hash(replace(spec, hub=HubSpec(users=(User("alice"), User("bob")))), sizing),
        spec_hash(replace(spec, hub=HubSpec(idle_timeout=60)), sizing),
        spec_hash(replace(spec, network=NetworkSpec(access=(IPv4Network("192.0.2.0/24"),))), sizing),
        spec_hash(spec, replace(sizing, app_cores=3)),
        spec_hash(spec, sizing, "a certificate"),
        spec_hash(replace(spec, monitoring=True), sizing),
    ]
    assert len({one, *changed}) == 7
    # Who they are is a matter of DesiredState.accounts.
    assert one == spec_hash(replace(spec, hub=HubSpec(users=(User("bob", admin=True),))), sizing)
