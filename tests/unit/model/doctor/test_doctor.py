"""The rules about a cluster: what is observed -> findings, as tests/unit/diagnoses/cluster.yaml has it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from provision.model.cluster.resources import NODES, Rule
from provision.model.doctor import firewall
from provision.model.doctor.rules import RULES, diagnose

from .diagnosis import APART, WELL, cases, observed

CASES = cases()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_observed_gives_these_findings(case):
    found = diagnose(observed(case["seen"]))
    expected = case.get("findings", [])
    assert [(each.where, each.wrong) for each in found] == [(each["where"], each["wrong"]) for each in expected]
    for finding, wanted in zip(found, expected, strict=True):
        assert wanted["do"] in finding.do
        assert finding.do.endswith(".")
        assert finding.do[0] == "`" or finding.do[0].isupper() or finding.do.startswith("playbooks/")
        assert wanted.get("seen", "") in "\n".join(finding.evidence)
        assert finding.evidence, "what was seen is shown"


def test_a_cluster_that_is_well_is_silent():
    assert diagnose(WELL) == []


def many(workers, changed=None):
    """A cluster of so many workers, with these facts of the one that is changed."""
    master, worker, _ = WELL.nodes
    wide = {"prefix": {"addr": "10.20.0.0", "len": 16}}

    def widened(ruleset):
        return json.loads(
            json.dumps(ruleset).replace(json.dumps(wide | {"prefix": wide["prefix"] | {"len": 24}}), json.dumps(wide))
        )

    def node(base, name, address, **facts):
        told = dict(base.facts) | {"firewall": widened(base.facts["firewall"])} | facts
        return replace(base, name=name, address=address, facts=told)

    alive = [
        dict(master.facts["spark"]["workers"][0]) | {"host": f"10.20.{n >> 8}.{n & 255}"}
        for n in range(20, 20 + workers)
    ]
    spark = dict(master.facts["spark"]) | {"workers": alive}
    nodes = [node(master, "a-master", "10.20.0.10", spark=spark)]
    for place, each in enumerate(alive, 1):
        facts = {"reach": {}} | ((changed or {}) if place == 7 else {})
        nodes.append(node(worker, f"a-worker-{place}", each["host"], **facts))
    return replace(WELL, nodes=tuple(nodes), count=workers)


def test_the_firewalls_of_many_nodes_are_worked_out_by_kinds_of_connections(monkeypatch):
    calls, real = [], firewall.refusal
    monkeypatch.setattr(firewall, "refusal", lambda *args: calls.append(args) or real(*args))
    assert diagnose(many(300)) == []
    assert len(calls) < 1000
    # Of all 300 workers, one keeps one out.
    drop = {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "10.20.1.44"}
    rule = {
        "family": "inet",
        "table": "provision",
        "chain": "input",
        "handle": 9,
        "expr": [{"match": drop}, {"drop": None}],
    }
    seen = many(300)
    rules = next(node.facts["firewall"] for node in seen.nodes if node.name == "a-worker-7")
    (found,) = diagnose(many(300, {"firewall": [{"rule": rule}, *rules]}))
    assert found.where == "the firewall of a-worker-7 (nftables)"
    assert "rule 9: drop for saddr 10.20.1.44" in found.evidence[0]


def changed(name, **changes):
    """The cluster whose Hub has a node of its own, with one node changed; `units` changes what these units say."""
    facts = dict(next(node.facts for node in APART.nodes if node.name == name)) | changes.pop("facts", {})
    facts["units"] = {unit: state | changes.get("units", {}).get(unit, {}) for unit, state in facts["units"].items()}
    changes.pop("units", None)
    nodes = [replace(node, **({"facts": facts} | changes)) if node.name == name else node for node in APART.nodes]
    return replace(APART, nodes=tuple(nodes))


STOPPED = {"active": "inactive", "sub": "dead"}
APART_CASES = {
    "the hub's node is shut off": (
        replace(
            APART,
            nodes=tuple(
                replace(node, facts={}, **({"status": "SHUTOFF"} if node.role == "hub" else {"silent": "no way"}))
                for node in APART.nodes
            ),
        ),
        [("a-hub", "is SHUTOFF on the cloud")],
    ),
    "the hub's node is missing": (
        replace(APART, nodes=tuple(replace(node, facts={}) for node in APART.nodes if node.role != "hub")),
        [("the Hub's node", "does not exist on the cloud")],
    ),
    "the hub is stopped": (
        changed("a-hub", units={"jupyterhub": STOPPED}, facts={"hub": {"problem": "refused"}}),
        [("jupyterhub on a-hub", "is stopped")],
    ),
    "the spark master is stopped": (
        changed("a-master", units={"spark-master": STOPPED}),
        [("spark-master on a-master", "is stopped")],
    ),
    "files are not given": (
        changed("a-hub", units={"provision-files": STOPPED}),
        [("provision-files on a-hub", "is stopped")],
    ),
    "the hub's node does not reach the spark master's page": (
        changed(
            "a-hub",
            facts={
                "reach": APART.nodes[1].facts["reach"] | {"10.20.0.10:8080": "silent"},
                "spark": {"problem": "timed out"},
            },
        ),
        [
            (
                "a-hub",
                "cannot reach port 8080 of a-master, and neither its firewall nor the security group says why: kernels "
                "do not learn their shares there, and nobody sees how Spark is",
            )
        ],
    ),
    "the security group lacks the spark master's page": (
        replace(changed("a-hub", facts={"spark": {"problem": "timed out"}}), rules=(Rule(8080, 8080, NODES),)),
        [
            (
                "the security group",
                "lets no node reach port 8080 of the master: kernels do not learn their shares there, and nobody sees "
                "how Spark is",
            )
        ],
    ),
    "a worker has homes of its own": (
        changed("a-worker-1", facts={"mounts": {"/home": "ext4", "/shared": "nfs4"}}),
        [
            (
                "/home on a-worker-1",
                "is not the /home of the Hub's node: what is there is ext4, not the Hub's. What executors write there "
                "is lost to everybody else",
            )
        ],
    ),
    "a user has no account": (
        changed("a-hub", facts={"accounts": {"alice": "missing", "bob": "well"}}),
        [("alice", "has no account on the Hub's node")],
    ),
    "the hub's node has another secret": (
        changed("a-hub", facts={"secret": {"hash": "bb", "changed": 0}}),
        [
            (
                "a-hub",
                "has another Spark secret (spark.authenticate.secret) than the master, which refuses its drivers",
            )
        ],
    ),
    "a worker does not reach drivers": (
        changed(
            "a-worker-1",
            facts={"reach": APART.nodes[2].facts["reach"] | {"10.20.0.13:7100": "silent"}},
        ),
        [
            (
                "a-worker-1",
                "cannot reach port 7100 of a-hub, and neither its firewall nor the security group says why: "
                "executors start and cannot connect back to the driver: Spark prints "
                '"Initial job has not accepted any resources"',
            )
        ],
    ),
}


@pytest.mark.parametrize("case", APART_CASES.values(), ids=APART_CASES)
def test_a_hub_of_its_own_is_told_from_the_master(case):
    seen, expected = case
    assert [(each.where, each.wrong.partition(" since")[0]) for each in diagnose(seen)] == expected


def test_with_a_hub_of_its_own_one_that_is_well_is_silent_too():
    assert diagnose(APART) == []


def test_every_rule_has_a_case():
    seen = [observed(case["seen"]) for case in CASES.values()]
    assert {rule.__name__ for rule in RULES if not any(any(rule(each)) for each in seen)} == set()


def test_every_rule_says_in_its_own_words_what_it_finds():
    assert all(rule.__doc__.strip().endswith(".") for rule in RULES)
