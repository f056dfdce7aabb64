"""The alert rules; tests/integration/test_alerts.py has vmalert itself evaluate them."""

from __future__ import annotations

import re

import pytest
import yaml

from provision.model.localcloud.doctor import host_rules
from provision.model.localcloud.doctor.words import CUT_OFF, MAKE_ROOM, look_at
from provision.model.localcloud.monitoring.rules import alert_rules
from provision.model.localcloud.preflight import LEAST_FREE
from provision.model.localcloud.render import documents
from provision.model.localcloud.settings import PASSWORDS, Settings

RULES = {settings.ha: alert_rules(settings) for settings in (Settings(), Settings(ha=True))}
NAMES = [rule.name for rule in RULES[True]]
NOTHING = "absent(count_over_time(up[1m]))"


@pytest.mark.parametrize("rule", RULES[True], ids=lambda rule: f"{rule.name} {rule.where}")
def test_each_says_where_what_and_what_to_do(rule):
    assert re.fullmatch(r"([A-Z][a-z]+)+", rule.name)
    assert re.fullmatch(r"\d+[sm]", rule.lasts)
    # A predicate, as a finding's, and sentences.
    assert not rule.wrong.endswith(".")
    assert rule.do.endswith(".")
    assert rule.where


def test_what_is_rendered_is_what_the_rules_say():
    document = yaml.safe_load(documents(Settings(ha=True), dict.fromkeys(PASSWORDS, "x"))["monitoring/alerts.yaml"])
    (group,) = document["groups"]
    for rule, found in zip(RULES[True], group["rules"], strict=True):
        assert (found["alert"], found["expr"], found["for"]) == (rule.name, rule.expr, rule.lasts)
        assert found["annotations"] == {"where": rule.where, "wrong": rule.wrong, "do": rule.do}


def test_the_number_of_members_counts_where_there_are_several():
    assert set(NAMES) - {rule.name for rule in RULES[False]} == {"DatabaseMemberMissing"}


def test_an_alert_says_what_doctor_says_and_judges_by_the_same_figures():
    by_name = {rule.name: rule for rule in RULES[True]}
    assert by_name["DiskFilling"].do == MAKE_ROOM
    assert f"< {LEAST_FREE} or" in by_name["DiskFilling"].expr
    assert (by_name["DatabaseCutOff"].wrong, by_name["DatabaseCutOff"].do) == CUT_OFF
    assert str(host_rules.EXPIRES * 86400) in by_name["CertificateEnds"].expr
    assert by_name["HypervisorAgentDown"].do == look_at("compute-1-nova-compute-1")


def test_that_nothing_is_gathered_is_one_alert_and_takes_no_service_for_down():
    by_name = {rule.name: rule for rule in RULES[False]}
    assert (by_name["NothingGathered"].expr, by_name["NothingGathered"].where) == (NOTHING, "monitoring")
    # The store repeats its last figures for five minutes, not all of them equally long: they say nothing of services.
    assert by_name["ServiceDown"].expr.endswith(" and on () count(count_over_time(up[1m]))")
    assert by_name["CertificateEnds"].wrong.startswith("{{ if lt $value 0.0 }}has expired{{ else }}expires in ")


def test_an_api_is_called_by_its_type_and_its_log_by_its_service():
    of_apis = {rule.where: rule.do for rule in RULES[True] if rule.name == "ApiWithoutReplica"}
    assert "`provision cloud logs neutron-api`" in of_apis["the network API (neutron)"]
    assert "the compute API (nova-api)" in of_apis
    assert not any("horizon" in where for where in of_apis)
