"""Parts of a local cloud looked at, all at once: what cannot be looked at is said, and hides nothing else."""

from __future__ import annotations

import re
import time

import pytest
import yaml

from provision.base import paths
from provision.base.errors import ProvisionError
from provision.model.localcloud.doctor.observed import Unit
from provision.model.localcloud.doctor.rules import diagnose
from provision.operations.localcloud.shared import inspection
from provision.operations.localcloud.single import doctor

from ..doctor_world import FakeCloud, FakeConsul, FakeInspector, make_inspector  # noqa: F401


def test_what_does_not_answer_is_said_and_hides_nothing_else(inspector, monkeypatch):
    class Away(FakeConsul):
        def date(self):
            raise ProvisionError("Consul does not answer")

    class Half(FakeCloud):
        def compute_services(self):
            raise ProvisionError("Nova does not answer: 503")

    monkeypatch.setattr(doctor, "catalogue", Away)
    monkeypatch.setattr(inspection, "Admin", Half)
    inspector.answers["bash"] = ProvisionError("bash in rabbitmq-1: no answer within 45 s")
    seen = doctor.observe()
    assert seen.unseen == {
        "checks": "Consul does not answer",
        "compute": "Nova does not answer: 503",
        "queues": "bash in rabbitmq-1: no answer within 45 s",
    }
    assert (seen.checks, seen.compute, seen.queues) == (None, None, None)
    assert seen.agents
    assert seen.members[0].answers


def test_a_database_that_does_not_answer_is_a_member_that_does_not(inspector):
    inspector.answers["mariadb"] = ProvisionError("no answer")
    assert [(member.name, member.answers) for member in doctor.observe().members] == [("mariadb-1", False)]


def test_every_member_of_the_database_is_asked_and_judged(inspector):
    for number in (2, 3):
        name = f"mariadb-{number}"
        inspector.running.append(Unit(name, f"{name}-1", "provision", "running", "provision/mariadb:new"))
    synced = "wsrep_cluster_size\t3\nwsrep_cluster_status\tPrimary\nwsrep_local_state_comment\t{}\nclock\t{}\n"
    stages = {"mariadb-1": "Synced", "mariadb-2-1": "Joined"}

    def answer(unit, argv, seconds=20):
        if argv[0] != "mariadb":
            return FakeInspector.output_of(inspector, unit, argv)
        if unit.name not in stages:
            raise ProvisionError("no answer")
        return synced.format(stages[unit.name], time.time())

    inspector.output_of = answer
    found = {(each.where, each.wrong) for each in diagnose(doctor.observe()) if each.rule == "database"}
    assert found == {
        ("mariadb-2-1", "is not in sync with its cluster (Joined)"),
        ("mariadb-3-1", "runs, but does not answer SQL"),
    }


def test_the_next_member_of_rabbitmq_is_asked_when_one_is_silent(inspector):
    inspector.running.append(Unit("rabbitmq-2", "rabbitmq-2-1", "provision", "running", "provision/rabbitmq:new"))
    inspector.answers["bash"] = "Error: no list"
    seen = doctor.observe()
    assert [name for name, program in inspector.asked if program == "bash"] == ["rabbitmq-1", "rabbitmq-2-1"]
    assert "no list of queues" in seen.unseen["queues"]


@pytest.mark.parametrize(("lasts", "expected"), [(1, ()), (9, ("vm:provision-glance-1:9292",))])
def test_only_a_registration_that_stays_away_is_missed(inspector, monkeypatch, lasts, expected):
    class Late(FakeConsul):
        def services(self):
            known = super().services()
            return {} if self.reads <= lasts else known

    monkeypatch.setattr(doctor, "catalogue", Late)
    seen = doctor.observe()
    assert seen.unregistered == expected
    assert seen.stale == ()


def test_what_is_compared_is_registered_as_the_stacks_own_registrator_does():
    stack = yaml.safe_load((paths.COMPOSE / "stack.yaml").read_text())
    command = stack["services"]["registrator"]["command"]
    assert "--internal" in command
    assert command[command.index("--network") + 1] == inspection.NETWORK
    assert command[command.index("--reserve") + 1] == "${RESERVED_NAMES:?}"
    assert command[command.index("--reserve-for") + 1] == "${LOCALCLOUD_LABEL:?}"


def test_what_is_said_to_hold_data_is_mounted_there():
    mounts = "".join((paths.COMPOSE / name).read_text() for name in ("stack.yaml", "compute.yaml"))
    places = {place for each in inspection.DATA_FOLDERS.values() for place in each} - {"/"}
    assert all(re.search(rf"[a-z]:{place}[\"\]\n]", mounts) for place in places)
