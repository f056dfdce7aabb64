"""The rules about several hosts: what is observed -> findings, as tests/unit/diagnoses/swarm.yaml has it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from provision.model.localcloud.doctor import swarm_rules
from provision.model.localcloud.doctor.observed import ConsulCheck, DatabaseMember, ObservedLocalCloud, Unit
from provision.model.localcloud.doctor.swarm_rules import ObservedSwarm, diagnose_swarm
from provision.model.localcloud.settings import CLUSTERED, PROJECT, Settings, apis, services_of
from provision.model.localcloud.status import ServiceStatus
from provision.model.localcloud.swarm import Host, Task

from .diagnosis import cases, changed, check, rules_that_find

CASES = cases("swarm")
SETTINGS = Settings(ha=True, swarm=True)
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MEMBERS = [name for service in CLUSTERED for name in services_of(SETTINGS, service)]
APIS = tuple(api for api in apis(SETTINGS) if not api.idle)
COUNTS = {"consul": 3, "registrator": 3, "haproxy": 3, **dict.fromkeys(MEMBERS, 1), "keystone": 2, "glance": 1}
CHECKS = tuple(ConsulCheck(api.name, f"{api.name}-1", True) for api in APIS)
CHECKS += tuple(ConsulCheck(service, f"{service}-{n}", True) for service in CLUSTERED for n in (1, 2, 3))


def status(service, wanted):
    return ServiceStatus(service, wanted, wanted, wanted, ("sha256:a",), "", ())


WELL = ObservedSwarm(
    ObservedLocalCloud(
        NOW,
        wanted={(PROJECT, name): count for name, count in COUNTS.items()},
        units=tuple(
            Unit(name, f"{name}-{n}@host-{n}", PROJECT, "running")
            for name, count in COUNTS.items()
            for n in range(1, count + 1)
        ),
        apis=APIS,
        checks=CHECKS,
        members=(
            DatabaseMember(
                "mariadb-1@host-1",
                True,
                {"wsrep_cluster_size": "3", "wsrep_cluster_status": "Primary", "wsrep_local_state_comment": "Synced"},
            ),
        ),
        swarm=True,
    ),
    tuple(Host(f"id{n}", f"host-{n}", f"192.0.2.{n}", True, n) for n in (1, 2, 3)),
    tuple(status(service, count) for service, count in COUNTS.items()),
)


def failed(**more):
    words = {"changed": "2026-03-01T11:59:00.5Z", "problem": "task: non-zero exit (1)", "slot": 1, **more}
    return Task("keystone", "host-1", "failed", False, **words)


def observed(case):
    """Build what is observed: a Swarm that is well, except for what a table's case says."""
    services = {
        name: {key: tuple(value) if key == "digests" else value for key, value in fields.items()}
        for name, fields in case.get("service", {}).items()
    }
    gone = case.get("members_without_task")
    if gone:
        services = {
            name: {"running": 0, "healthy": None, "problem": case["problem_of_them"]}
            for name in COUNTS
            if name.endswith(gone)
        }
    here = replace(
        WELL.here,
        units=tuple(each for each in WELL.here.units if not (gone and each.service.endswith(gone))),
        checks=(
            *(
                each
                for each in CHECKS
                if each.id not in case.get("without_check", ())
                and not (gone and each.service in CLUSTERED and each.id.endswith(gone))
            ),
            *(ConsulCheck(**each) for each in case.get("checks", ())),
        ),
        unregistered=tuple(case.get("unregistered", ())),
    )
    if "members" in case:
        members = tuple(DatabaseMember(name, True, variables) for name, variables in case["members"].items())
        here = replace(here, members=members)
    hosts = tuple(each for each in WELL.hosts if each.name not in case.get("without_host", ()))
    seen = ObservedSwarm(
        here,
        (*changed(hosts, "name", case.get("host", {})), *([Host(**case["more_host"])] if "more_host" in case else [])),
        changed(WELL.services, "service", services),
        tuple(failed(**each) for each in case.get("failed", ())),
        case.get("problem", ""),
    )
    if "only" in case:
        seen = replace(seen, services=tuple(status(name, 1) for name in case["only"]))
    if seen.problem:
        # The Swarm's own lists are then unknown.
        seen = replace(seen, here=replace(seen.here, wanted={}), hosts=(), services=())
    return seen


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_observed_gives_these_findings(case):
    check(diagnose_swarm(observed(case["seen"])), case)


def test_every_rule_has_a_case():
    names = ("away", "memberless", "leaderless", "short", "ended", "unwell", "mixed")
    rules = [getattr(swarm_rules, name) for name in names]
    assert rules_that_find(rules, [observed(case["seen"]) for case in CASES.values()]) == set(names)
