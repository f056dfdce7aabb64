"""A cluster's alerts: which there are, and that their words are the doctor's (vmalert itself: tests/integration)."""

from __future__ import annotations

import re

import pytest
import yaml

from provision.base.model import Addresses, ClusterSpec, Flavor
from provision.model.cluster.example import sizing
from provision.model.cluster.render import public_context
from provision.model.doctor.words import EXPIRES, ROOM, STOPPED, start
from provision.model.monitoring.cluster.gathering import gathering
from provision.model.monitoring.cluster.jobs import JOBS
from provision.model.monitoring.cluster.rules import alert_rules, watched_units
from provision.model.templating import render_mapping

UNITS = {"master": ["spark-master", "jupyterhub"], "worker": ["spark-worker", "shared.automount"]}
ON_DEMAND = {"master": ["spark-history"]}
RULES = alert_rules(UNITS, ON_DEMAND, gathering(3))


def context():
    spec = ClusterSpec("a", monitoring=True)
    sizes = sizing(spec, "cluster.yaml", (Flavor("m1.small", 2, 2048, 20),))
    return public_context(spec, sizes, Addresses("10.20.0.10", "192.0.2.10"), "master")


def test_the_file_has_all_of_them_and_the_cluster_s_name():
    document = yaml.safe_load(render_mapping("monitoring/alerts.yaml.j2", context()))
    (group,) = document["groups"]
    assert group["name"] == "a"
    rules = context()["monitoring"]["rules"]
    assert [(each["alert"], each["expr"], each["annotations"]["do"]) for each in group["rules"]] == [
        (each["name"], each["expr"], each["do"]) for each in rules
    ]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.name} {rule.wrong}")
def test_a_rule_asks_jobs_that_are_gathered_and_speaks_in_sentences(rule):
    for jobs in re.findall(r'job=~?"([^"]+)"', rule.expr):
        assert set(jobs.split("|")) <= {job.name for job in JOBS}
    assert rule.do.endswith(".")
    assert not rule.wrong.endswith(".")
    for opening, closing in ("()", "{}", "[]"):
        assert rule.expr.count(opening) == rule.expr.count(closing)


def test_units_are_those_of_the_role():
    expressions = [rule.expr for rule in RULES if rule.name == "UnitDown"]
    assert len(expressions) == 4
    for expr in expressions:
        assert ("jupyterhub.service" in expr) == ('role="master"' in expr)
        assert ("spark-worker.service" in expr) == ('role="worker"' in expr)


def test_what_waits_to_be_asked_for_is_watched_for_failures_alone():
    found = [rule for rule in RULES if "spark-history.service" in rule.expr]
    assert [(rule.name, 'state="failed"' in rule.expr) for rule in found] == [("UnitDown", True)]
    assert "spark-history.service" in context()["monitoring"]["units"].split("|")


def test_a_worker_s_mounts_are_watched_too():
    assert watched_units(UNITS["worker"]) == "spark-worker.service|shared.automount|shared.mount"
    assert watched_units(UNITS["master"]) == "spark-master.service|jupyterhub.service"


def test_a_worker_is_missed_only_where_the_master_has_said_who_is_there():
    (rule,) = [rule for rule in RULES if rule.name == "WorkerUnregistered"]
    known = "(spark_master_answers == 1 or on () count(spark_worker_alive))"
    assert rule.expr.endswith(f" unless on (address) spark_worker_alive and on () {known}")


def test_a_certificate_that_has_expired_is_said_to_have():
    (rule,) = [rule for rule in RULES if rule.name == "CertificateEnds"]
    assert rule.wrong.startswith("{{ if lt $value 0.0 }}has expired{{ else }}expires in ")


def test_that_nothing_is_gathered_is_an_alert_of_its_own():
    rule = RULES[0]
    assert (rule.name, rule.expr, rule.where) == ("NothingGathered", "absent(count_over_time(up[1m]))", "monitoring")


def test_where_nodes_are_looked_at_seldom_one_look_is_no_alert():
    few = {(rule.name, rule.wrong): rule.lasts for rule in RULES}
    many = alert_rules(UNITS, ON_DEMAND, gathering(1000))
    lasts = {rule.name: (few[rule.name, rule.wrong], rule.lasts) for rule in many if (rule.name, rule.wrong) in few}
    assert lasts["NodeAway"] == ("20s", "120s")
    assert lasts["UnitDown"] == ("10s", "60s")
    assert lasts["MemoryShort"] == ("1m", "180s")
    assert lasts["NoMetrics"] == ("2m", "180s")
    assert lasts["ProgramsKilled"] == ("0s", "0s")
    assert lasts["SparkSilent"] == ("300s", "300s")
    assert many[0].expr == "absent(count_over_time(up[180s]))"
    assert "while less than 10 GiB of its disk are left" in many[0].do


def test_limits_and_words_are_the_doctor_s():
    found = {rule.name: rule for rule in RULES}
    assert str(ROOM) in found["DiskFull"].expr
    assert str(EXPIRES * 86400) in found["CertificateEnds"].expr
    unit = next(rule for rule in RULES if rule.name == "UnitDown" and rule.wrong == STOPPED)
    assert unit.do.startswith(start("{{ $labels.instance }}", '{{ $labels.name | reReplaceAll "[.]service$" "" }}'))
