"""What nftables' rules let in: the nodes' own rules as nft prints them, and what somebody adds."""

from __future__ import annotations

from itertools import product

import pytest
import yaml

from provision.base.constants import PORTS
from provision.model.doctor.firewall import Firewall, refusal

from .diagnosis import TABLES

MASTER, WORKER, OTHER = "10.20.0.10", "10.20.0.11", "10.20.0.12"
RULES = {role: yaml.safe_load((TABLES / f"nftables/{role}.yaml").read_text()) for role in ("master", "worker")}


def port(field, right, op="=="):
    return {"match": {"op": op, "left": {"payload": {"protocol": "tcp", "field": field}}, "right": right}}


def source(right, op="=="):
    return {"match": {"op": op, "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": right}}


def rule(*expr, chain="input", table="provision"):
    return {"rule": {"family": "inet", "table": table, "chain": chain, "handle": 7, "expr": list(expr)}}


@pytest.mark.parametrize("number", [PORTS.spark_master, PORTS.driver, PORTS.driver + PORTS.retries, PORTS.nfs])
def test_a_worker_reaches_what_it_needs_of_the_master(number):
    assert refusal(RULES["master"], WORKER, MASTER, number) == ""


def test_what_no_rule_names_meets_the_policy():
    said = refusal(RULES["master"], WORKER, MASTER, PORTS.driver_block_manager + PORTS.retries + 1)
    assert said == "nft: chain input of table inet provision, policy drop"
    assert refusal(RULES["worker"], OTHER, WORKER, PORTS.spark_worker) == said
    assert refusal(RULES["worker"], MASTER, WORKER, PORTS.spark_worker) == ""
    assert refusal(RULES["worker"], OTHER, WORKER, PORTS.block_manager) == ""


# A rule before the others -> what is said of Spark's port from a worker.
FIRST = {
    "a drop": (rule(port("dport", 7077), {"drop": None}), "rule 7: drop for dport 7077"),
    "a reject of a set": (
        rule(port("dport", {"set": [22, {"range": [7000, 7099]}]}), {"reject": {"type": "tcp reset"}}),
        "rule 7: reject for dport 22, 7000-7099",
    ),
    "a drop of another's": (rule(source(OTHER), {"drop": None}), ""),
    "a drop of all but another": (rule(source(OTHER, "!="), {"drop": None}), "rule 7: drop for saddr 10.20.0.12"),
    "a drop of a network": (
        rule(source({"prefix": {"addr": "10.20.0.0", "len": 28}}), {"drop": None}),
        "rule 7: drop for saddr 10.20.0.0/28",
    ),
    "a drop of a range of addresses": (
        rule(source({"range": ["10.20.0.11", "10.20.0.11"]}), {"drop": None}),
        "rule 7: drop for saddr 10.20.0.11-10.20.0.11",
    ),
    "a drop of what is counted": (rule({"counter": {}}, {"drop": None}), "rule 7: drop"),
    "a match that is not known": (
        rule({"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 1}}, {"drop": None}),
        "",
    ),
    "what returns is for the policy": (rule({"return": None}), "policy drop"),
}


@pytest.mark.parametrize("case", FIRST)
def test_the_first_rule_that_matches_decides(case):
    first, said = FIRST[case]
    found = refusal([first, *RULES["master"]], WORKER, MASTER, PORTS.spark_master)
    assert found == (f"nft: chain input of table inet provision, {said}" if said else "")


def test_a_chain_that_is_jumped_to_and_another_table_count():
    jump = rule({"jump": {"target": "guard"}})
    assert refusal([jump, *RULES["master"]], WORKER, MASTER, 7077) == ""
    drop = rule(port("dport", 7077), {"drop": None}, chain="guard")
    assert "rule 7: drop" in refusal([jump, drop, *RULES["master"]], WORKER, MASTER, 7077)
    chain = {"chain": {"family": "ip", "table": "own", "name": "all", "hook": "input", "prio": 10, "policy": "drop"}}
    assert refusal([*RULES["master"], chain], WORKER, MASTER, 7077) == "nft: chain all of table ip own, policy drop"


def test_without_any_rules_everything_is_let_in():
    assert refusal([], WORKER, MASTER, 9) == ""


@pytest.mark.parametrize("case", FIRST)
@pytest.mark.parametrize("role", RULES)
def test_a_firewall_says_the_same_of_each_connection(case, role):
    ruleset = [FIRST[case][0], *RULES[role]]
    firewall = Firewall(ruleset)
    for source_address, target, number, hook in product(
        (MASTER, WORKER, OTHER, "10.21.0.1"),
        (MASTER, "169.254.169.254"),
        (22, 7000, 7077, 7078, 7300, 7399, 7400),
        ("input", "output"),
    ):
        connection = (source_address, target, number, hook)
        assert firewall.refusal(*connection) == refusal(ruleset, *connection), connection


def test_what_no_rule_tells_apart_is_alike():
    firewall = Firewall([rule(source(OTHER), port("dport", {"range": [1, 9]}), {"drop": None})])
    assert firewall.alike("saddr", [MASTER, OTHER, WORKER]) == [[MASTER, WORKER], [OTHER]]
    assert firewall.alike("dport", [0, 3, 9, 10]) == [[0, 10], [3, 9]]
