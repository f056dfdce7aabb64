"""The rules about disks, clocks, certificates and images, as tests/unit/diagnoses/host.yaml has them."""

from __future__ import annotations

import pytest

from provision.model.localcloud.doctor import host_rules
from provision.model.localcloud.doctor.rules import RULES, diagnose

from .diagnosis import cases, check, observed, rules_that_find

CASES = cases("host")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_observed_gives_these_findings(case):
    check(diagnose(observed(case["seen"])), case)


def test_every_rule_has_a_case():
    own = [rule for rule in RULES if rule.__module__ == host_rules.__name__]
    assert rules_that_find(own, [observed(case["seen"]) for case in CASES.values()]) == {rule.__name__ for rule in own}
