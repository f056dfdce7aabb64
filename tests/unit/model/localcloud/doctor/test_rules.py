"""The rules about one machine's services: what is observed -> findings, as tests/unit/diagnoses has it."""

from __future__ import annotations

import pytest

from provision.model.finding import text
from provision.model.localcloud.doctor import host_rules
from provision.model.localcloud.doctor.rules import RULES, diagnose

from .diagnosis import cases, check, observed, rules_that_find

CASES = cases("services", "members")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_observed_gives_these_findings(case):
    check(diagnose(observed(case["seen"])), case)


def test_every_rule_has_a_case():
    own = [rule for rule in RULES if rule.__module__ != host_rules.__name__]
    seen = [observed(case["seen"]) for case in CASES.values() if "units" not in case["seen"]]
    assert rules_that_find(own, seen) == {rule.__name__ for rule in own}


def test_causes_come_first_and_the_person_is_told_so():
    told = text(diagnose(observed(CASES["causes come before what follows from them"]["seen"])))
    assert told.startswith("1. keystone-1: exited with code 0.\n   `provision cloud logs keystone-1` says why. ")
    assert told.endswith("The first may have caused the others: mend it, and run this again.")


def test_every_rule_says_in_its_own_words_what_it_finds():
    assert all(rule.__doc__.endswith(".") for rule in RULES)
