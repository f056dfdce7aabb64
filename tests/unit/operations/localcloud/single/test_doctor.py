"""All of the cloud looked at at once: the doors replaced, and what cannot be looked at is said, not raised."""

from __future__ import annotations

import re
import time
from email.utils import formatdate
from types import SimpleNamespace

import pytest
import yaml

from provision.base import paths
from provision.base.errors import ProvisionError
from provision.model.localcloud.doctor.observed import Clock, Endpoint, Unit, Worker
from provision.model.localcloud.doctor.rules import diagnose
from provision.model.localcloud.settings import Settings, apis
from provision.model.registrator.container import Container, ContainerNetwork, ContainerPort
from provision.model.registrator.services import token_hash, wanted_services
from provision.operations.localcloud.single import doctor as workflow

TAGS = {"mariadb": "new", "rabbitmq": "new", "consul": "new"}
CONTAINER = Container(
    id="c" * 64,
    name="provision-glance-1",
    image="provision/glance:new",
    labels=(("SERVICE_9292_NAME", "glance"), ("SERVICE_9292_CHECK_HTTP", "/healthcheck")),
    project="provision",
    networks=(ContainerNetwork("provision_management", "n1", "172.28.0.130"),),
    exposed=(ContainerPort(9292),),
)
NAMES = [api.name for api in apis(Settings()) if api.type]


class FakeLook:
    def __init__(self):
        self.answers = {
            "mariadb": f"wsrep_cluster_size\t0\nclock\t{time.time()}\n",
            "bash": '[\n{"name":"conductor","messages":0,"consumers":1}\n]',
            "df": "Filesystem 1-blocks Used Available Capacity Mounted\n" + "x 1000000000000 1 900000000000 1% /\n" * 4,
        }
        self.running = [
            Unit(name, f"{name}-1", "provision", "running", f"provision/{name}:new") for name in (*TAGS, "registrator")
        ]
        self.asked = []

    def units(self):
        return tuple(self.running)

    def host(self):
        return "vm"

    def serving(self):
        return (CONTAINER,)

    def clock(self):
        return Clock("Docker's host", 0.0, 0.0)

    def answer(self, unit, argv, seconds=20):
        self.asked.append((unit.name, argv[0]))
        answer = self.answers[argv[0]]
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeConsul:
    def __init__(self, url):
        self.looks = 0

    def date(self):
        return formatdate(time.time(), usegmt=True)

    def members(self):
        return [{"Name": "one", "Status": 1}]

    def states(self):
        return [{"ServiceID": f"vm:{name}", "ServiceName": name, "Status": "passing", "Output": ""} for name in NAMES]

    def services(self):
        self.looks += 1
        registrator = workflow.RegistratorSettings(
            "vm", internal=True, network=workflow.NETWORK, token_hash=token_hash("the-registrator-s")
        )
        wanted = wanted_services([CONTAINER], registrator)
        return {
            id_: {**each.registration, "Service": each.registration["Name"]} for id_, each in wanted.services.items()
        }


class FakeCloud:
    def __init__(self, login):
        pass

    def clock(self):
        return Clock("Keystone's host", 0.0, 0.5)

    def endpoints(self):
        listed = (api for api in apis(Settings()) if api.type)
        return tuple(Endpoint(api.type, api.user, "public", f"http://127.0.0.1:{api.port}") for api in listed)

    def compute(self):
        return (Worker("nova-compute", "compute-1", True),)

    def agents(self):
        return (Worker("OVN Controller agent", "compute-1", True),)


@pytest.fixture(name="look")
def _look(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    paths.localcloud_dir().mkdir(parents=True)
    (paths.localcloud_dir() / "compose.env").write_text("")
    (paths.localcloud_dir() / "passwords.json").write_text('{"admin": "", "consul_registrator": "the-registrator-s"}')
    look = FakeLook()
    project = SimpleNamespace(project="provision", replicas=lambda: {each.service: 1 for each in look.running})
    monkeypatch.setattr(workflow, "Inspector", lambda: look)
    monkeypatch.setattr(workflow, "catalogue", FakeConsul)
    monkeypatch.setattr(workflow, "OpenStack", FakeCloud)
    monkeypatch.setattr(workflow, "control", lambda: project)
    monkeypatch.setattr(workflow, "hypervisors", lambda settings: ())
    monkeypatch.setattr(workflow, "image_tags", lambda contexts: TAGS)
    monkeypatch.setattr(workflow, "_SETTLE", 0.0)
    monkeypatch.setattr(
        workflow, "statistics", lambda url: "pxname,svname,status\n" + "".join(f"{name},a,UP\n" for name in NAMES)
    )
    return look


def test_a_cloud_that_is_well(look):
    seen = workflow.observe()
    assert diagnose(seen) == []
    assert seen.unseen == {}
    assert seen.backends == dict.fromkeys(NAMES, 1)
    assert {clock.whose for clock in seen.clocks} == {
        "Docker's host",
        "Keystone's host",
        "Consul's host",
        "mariadb-1's host",
    }
    assert {disk.holds for disk in seen.disks} == {
        "the database",
        "Consul's data",
        "Docker's containers and images",
    }


def test_no_cloud_is_looked_at_no_further(look):
    look.running = []
    assert workflow.observe().units == ()
    assert look.asked == []


def test_what_does_not_answer_is_said_and_hides_nothing_else(look, monkeypatch):
    class Away(FakeConsul):
        def date(self):
            raise ProvisionError("Consul does not answer")

    class Half(FakeCloud):
        def compute(self):
            raise ProvisionError("Nova does not answer: 503")

    monkeypatch.setattr(workflow, "catalogue", Away)
    monkeypatch.setattr(workflow, "OpenStack", Half)
    look.answers["bash"] = ProvisionError("bash in rabbitmq-1: no answer within 45 s")
    seen = workflow.observe()
    assert seen.unseen == {
        "checks": "Consul does not answer",
        "compute": "Nova does not answer: 503",
        "queues": "bash in rabbitmq-1: no answer within 45 s",
    }
    assert (seen.checks, seen.compute, seen.queues) == (None, None, None)
    assert seen.agents
    assert seen.members[0].answers


def test_a_database_that_does_not_answer_is_a_member_that_does_not(look):
    look.answers["mariadb"] = ProvisionError("no answer")
    assert [(member.name, member.answers) for member in workflow.observe().members] == [("mariadb-1", False)]


def test_every_member_of_the_database_is_asked_and_judged(look):
    for number in (2, 3):
        name = f"mariadb-{number}"
        look.running.append(Unit(name, f"{name}-1", "provision", "running", "provision/mariadb:new"))
    synced = "wsrep_cluster_size\t3\nwsrep_cluster_status\tPrimary\nwsrep_local_state_comment\t{}\nclock\t{}\n"
    stages = {"mariadb-1": "Synced", "mariadb-2-1": "Joined"}

    def answer(unit, argv, seconds=20):
        if argv[0] != "mariadb":
            return FakeLook.answer(look, unit, argv)
        if unit.name not in stages:
            raise ProvisionError("no answer")
        return synced.format(stages[unit.name], time.time())

    look.answer = answer
    found = {(each.where, each.wrong) for each in diagnose(workflow.observe()) if each.rule == "database"}
    assert found == {
        ("mariadb-2-1", "is not in sync with its cluster (Joined)"),
        ("mariadb-3-1", "runs, but does not answer SQL"),
    }


def test_the_next_member_of_rabbitmq_is_asked_when_one_is_silent(look):
    look.running.append(Unit("rabbitmq-2", "rabbitmq-2-1", "provision", "running", "provision/rabbitmq:new"))
    look.answers["bash"] = "Error: no list"
    seen = workflow.observe()
    assert [name for name, program in look.asked if program == "bash"] == ["rabbitmq-1", "rabbitmq-2-1"]
    assert "no list of queues" in seen.unseen["queues"]


@pytest.mark.parametrize(("lasts", "expected"), [(1, ()), (9, ("vm:provision-glance-1:9292",))])
def test_only_a_registration_that_stays_away_is_missed(look, monkeypatch, lasts, expected):
    class Late(FakeConsul):
        def services(self):
            known = super().services()
            return {} if self.looks <= lasts else known

    monkeypatch.setattr(workflow, "catalogue", Late)
    seen = workflow.observe()
    assert seen.unregistered == expected
    assert seen.stale == ()


def test_what_is_compared_is_registered_as_the_stacks_own_registrator_does():
    stack = yaml.safe_load((paths.COMPOSE / "stack.yaml").read_text())
    command = stack["services"]["registrator"]["command"]
    assert "--internal" in command
    assert command[command.index("--network") + 1] == workflow.NETWORK


def test_what_is_said_to_hold_data_is_mounted_there():
    mounts = "".join((paths.COMPOSE / name).read_text() for name in ("stack.yaml", "compute.yaml"))
    places = {place for each in workflow._DATA.values() for place in each} - {"/"}
    assert all(re.search(rf"[a-z]:{place}[\"\]\n]", mounts) for place in places)
