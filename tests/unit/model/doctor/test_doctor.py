"""The rules about a cluster: what is observed -> findings, as tests/unit/diagnoses/cluster.yaml has it."""

from __future__ import annotations

import pytest

from provision.model.doctor.rules import RULES, diagnose

from .diagnosis import WELL, cases, observed

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


def test_every_rule_has_a_case():
    seen = [observed(case["seen"]) for case in CASES.values()]
    assert {rule.__name__ for rule in RULES if not any(any(rule(each)) for each in seen)} == set()


def test_every_rule_says_in_its_own_words_what_it_finds():
    assert all(rule.__doc__.strip().endswith(".") for rule in RULES)
