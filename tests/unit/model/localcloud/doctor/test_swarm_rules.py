"""Each rule of several hosts: a Swarm that is well, one thing changed, and the words that follow."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from provision.model.localcloud.doctor.observed import ConsulCheck, DatabaseMember, ObservedLocalCloud, Unit
from provision.model.localcloud.doctor.swarm_rules import ObservedSwarm, diagnose_swarm
from provision.model.localcloud.settings import CLUSTERED, PROJECT, Settings, apis, services_of
from provision.model.localcloud.swarm import Host, Task
from provision.model.localcloud.swarm_status import SwarmLine

SETTINGS = Settings(ha=True, swarm=True)
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOSTS = tuple(Host(f"id{n}", f"host-{n}", f"192.0.2.{n}", True, n) for n in (1, 2, 3))
MEMBERS = [name for service in CLUSTERED for name in services_of(SETTINGS, service)]
APIS = tuple(api for api in apis(SETTINGS) if not api.idle)
COUNTS = {"consul": 3, "registrator": 3, "haproxy": 3, **dict.fromkeys(MEMBERS, 1), "keystone": 2, "glance": 1}
SYNCED = {"wsrep_cluster_size": "3", "wsrep_cluster_status": "Primary", "wsrep_local_state_comment": "Synced"}


def line(service, wanted, **more):
    digests = more.pop("digests", ("sha256:a",))
    return SwarmLine(service, wanted, more.pop("running", wanted), wanted, digests, "", (), **more)


LINES = tuple(line(service, count) for service, count in COUNTS.items())
UNITS = tuple(
    Unit(name, f"{name}-{n}@host-{n}", PROJECT, "running")
    for name, count in COUNTS.items()
    for n in range(1, count + 1)
)
CHECKS = tuple(ConsulCheck(api.name, f"{api.name}-1", True) for api in APIS)
CHECKS += tuple(ConsulCheck(service, f"{service}-{n}", True) for service in CLUSTERED for n in (1, 2, 3))
WELL = ObservedSwarm(
    ObservedLocalCloud(
        NOW,
        wanted={(PROJECT, name): count for name, count in COUNTS.items()},
        units=UNITS,
        apis=APIS,
        checks=CHECKS,
        members=(DatabaseMember("mariadb-1@host-1", True, SYNCED),),
        swarm=True,
    ),
    HOSTS,
    LINES,
)


def changed(**more):
    here = {key: more.pop(key) for key in tuple(more) if key not in ("hosts", "lines", "tasks", "problem")}
    return replace(WELL, here=replace(WELL.here, **here), **more)


def with_line(service, **more):
    return tuple(replace(each, **more) if each.service == service else each for each in LINES)


def failed(**more):
    words = {"changed": "2026-03-01T11:59:00.5Z", "problem": "task: non-zero exit (1)", "slot": 1, **more}
    return Task("keystone", "host-1", "failed", False, **words)


def test_a_swarm_that_is_well():
    assert diagnose_swarm(WELL) == []


@pytest.mark.parametrize(
    ("seen", "where", "wrong", "do"),
    [
        (
            changed(hosts=(replace(HOSTS[0], ready=False), *HOSTS[1:])),
            "the host host-1 (192.0.2.1)",
            "is away, and with it member 1",
            "docker node rm --force host-1",
        ),
        (changed(hosts=HOSTS[:2]), "the Swarm", "has no host for member 3", "another machine join"),
        (
            changed(lines=with_line("keystone", running=1, healthy=1, problem="no suitable node")),
            "keystone",
            "not all runs that shall (1 of 2 copies of keystone): no suitable node",
            "docker service ps --no-trunc provision_keystone",
        ),
        (
            changed(lines=with_line("keystone", running=1, healthy=1), tasks=(failed(),)),
            "keystone",
            "non-zero exit (1)",
            "Swarm goes on trying",
        ),
        (
            changed(tasks=(failed(),) * 4),
            "keystone-1@host-1",
            "has ended 4 times in 10 min, the last time 60 s ago: task: non-zero exit (1)",
            "another runs",
        ),
        (
            changed(
                lines=with_line("keystone", healthy=1),
                checks=(*CHECKS, ConsulCheck("keystone", "k2", False, "connection refused")),
            ),
            "the service keystone",
            "has 1 healthy copies of 2 that run: connection refused",
            "cloud logs keystone",
        ),
        (
            changed(lines=with_line("keystone", digests=("sha256:a", "sha256:b"))),
            "keystone",
            "different images",
            "cloud upgrade",
        ),
        (
            changed(lines=with_line("glance", drift="image")),
            "glance",
            "other images than this checkout",
            "cloud upgrade",
        ),
        (
            changed(checks=tuple(each for each in CHECKS if each.id != "rabbitmq-2")),
            "the service rabbitmq",
            "has 2 of its 3 members in service",
            "the others go on",
        ),
        (
            changed(members=(DatabaseMember("mariadb-2-1@host-2", True),)),
            "mariadb-2-1@host-2",
            "takes part in no cluster",
            "cloud logs mariadb-2-1@host-2",
        ),
        (
            changed(unregistered=("host-1:x:5000",)),
            "the Registrator",
            "what runs is not in Consul",
            "docker service update --force provision_registrator",
        ),
    ],
)
def test_one_thing_is_wrong(seen, where, wrong, do):
    found = diagnose_swarm(seen)
    assert [each.where for each in found] == [where]
    assert wrong in found[0].wrong
    assert do in found[0].do


def test_what_has_one_reason_is_said_once():
    away = {"running": 0, "healthy": None, "problem": "no suitable node"}
    lines = tuple(replace(each, **away) if each.service.endswith("-2") else each for each in LINES)
    units = tuple(each for each in UNITS if not each.service.endswith("-2"))
    checks = tuple(each for each in CHECKS if each.service not in CLUSTERED or not each.id.endswith("-2"))
    found = diagnose_swarm(changed(lines=lines, units=units, checks=checks))
    assert [each.where for each in found] == ["mariadb-2, memcached-2, rabbitmq-2"]


def test_what_failed_long_ago_or_is_missing_anyway_is_no_news():
    assert diagnose_swarm(changed(tasks=(failed(changed="2026-03-01T09:00:00Z"),) * 4)) == []
    # Nor what a host's return has cost.
    assert diagnose_swarm(changed(tasks=(failed(), failed()))) == []


def test_a_control_plane_that_does_not_run_is_one_finding():
    (found,) = diagnose_swarm(changed(lines=(line("registry", 1),)))
    assert (found.where, found.wrong) == ("the local cloud", "is not running")


def test_without_a_majority_it_is_said_and_what_is_here_is_still_looked_at():
    members = (DatabaseMember("mariadb-1@host-1", True, {**SYNCED, "wsrep_cluster_status": "non-Primary"}),)
    found = diagnose_swarm(changed(hosts=(), lines=(), wanted={}, members=members, problem="no leader"))
    assert [each.where for each in found] == ["the Swarm", "mariadb-1@host-1"]
    assert "(no leader)" in found[0].wrong
