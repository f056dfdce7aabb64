"""A Swarm looked at from one of its hosts, and one that does not answer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from provision.base.errors import ProvisionError
from provision.model.localcloud.doctor.observed import Clock, Unit
from provision.model.localcloud.doctor.swarm_rules import diagnose_swarm
from provision.model.localcloud.settings import Settings
from provision.model.localcloud.status import ServiceStatus
from provision.model.localcloud.swarm import Host, Task
from provision.operations.localcloud.swarm import doctor

HOSTS = tuple(Host(f"id{n}", f"host-{n}", f"192.0.2.{n}", n != 3, n) for n in (1, 2, 3))
TASKS = (
    Task("keystone", "host-1", "running", True, "c1", "r/provision/keystone:ab@sha256:cd", slot=1),
    Task("keystone", "host-2", "running", True, "c2", "r/provision/keystone:ab@sha256:cd", slot=2),
    Task("keystone", "host-3", "failed", False, "c3", slot=1),
)


class FakeSwarm:
    answers = True

    def hosts(self):
        if not self.answers:
            raise ProvisionError("Docker refused or broke off", detail="The swarm does not have a leader.\nmore")
        return HOSTS

    def tasks(self):
        return TASKS

    def desired_replicas(self):
        return {"keystone": 2}

    def address(self, service):
        return "192.0.2.9" if service == "consul" else ""


class FakeInspector:
    def replicas(self):
        return (Unit("keystone", "provision_keystone.1.x", "provision", "running", unhealthy=True, container="c1"),)


@pytest.fixture(name="swarm")
def _swarm(monkeypatch):
    def parts(settings, inspector, units, *, consul, proxy):
        asked.append([unit.name for unit in units])
        lost = {"failed_nodes": ("host-2", "host-3", "gone")}
        return {
            "checks": lambda: lost,
            "clocks": lambda: {"clocks": (Clock(consul().url, 0, 0),)},
            "backends": lambda: {"backends": proxy()},
        }

    swarm, asked = FakeSwarm(), []
    swarm.asked = asked
    monkeypatch.setattr(doctor, "Catalogue", lambda url, token: SimpleNamespace(url=url))
    monkeypatch.setattr(doctor, "require_swarm", lambda: Settings(ha=True, swarm=True))
    monkeypatch.setattr(doctor, "swarm_adapter", lambda settings: swarm)
    monkeypatch.setattr(doctor, "Inspector", FakeInspector)
    monkeypatch.setattr(doctor, "inspections", parts)
    monkeypatch.setattr(doctor, "read_passwords", dict)
    line = ServiceStatus("keystone", 2, 2, 2, ("sha256:cd",), "", ())
    monkeypatch.setattr(doctor, "read_services", lambda settings, swarm, tasks: (line,))
    return swarm


def test_replicas_of_all_hosts_are_seen_and_those_of_this_one_in_depth(swarm):
    seen = doctor.observe()
    assert [(unit.name, unit.unhealthy) for unit in seen.here.units] == [
        ("keystone-1@host-1", True),
        ("keystone-2@host-2", False),
    ]
    assert {unit.family for unit in seen.here.units} == {"", "keystone"}
    assert swarm.asked == [["keystone-1@host-1"]]
    assert seen.here.wanted == {("provision", "keystone"): 2}
    assert (seen.hosts, [line.service for line in seen.services], seen.problem) == (HOSTS, ["keystone"], "")


def test_what_is_asked_is_asked_on_this_host(swarm):
    here = doctor.observe().here
    assert here.clocks == (Clock("http://192.0.2.9:8500", 0, 0),)
    assert here.unseen == {"backends": "haproxy does not run on this host"}
    names = {api.name for api in here.apis}
    assert "neutron" in names
    assert "horizon" not in names


def test_of_consuls_members_only_those_count_whose_host_is_there(swarm):
    assert doctor.observe().here.failed_nodes == ("host-2",)


def test_a_swarm_that_does_not_answer_hides_nothing_of_this_host(swarm):
    swarm.answers = False
    seen = doctor.observe()
    assert seen.problem == "The swarm does not have a leader."
    assert [unit.name for unit in seen.here.units] == ["provision_keystone.1.x"]
    assert {each.where for each in diagnose_swarm(seen)} >= {"the Swarm", "provision_keystone.1.x"}
