from __future__ import annotations

import pytest

from provision.adapters.consul.http import ConsulUnavailableError
from provision.base.errors import ProvisionError, UsageError
from provision.base.progress import Silent
from provision.model.localcloud.settings import CLUSTERED, INFRASTRUCTURE, Settings, member_services
from provision.operations.localcloud.shared import installation
from provision.operations.localcloud.single import members

HA = Settings(ha=True)
STATUS = "wsrep_cluster_status\t{}\nwsrep_ready\tON\nwsrep_local_state_comment\tSynced\nwsrep_cluster_size\t{}\n"


class Engine:
    def __init__(self, *answers):
        self.answers = list(answers)
        self.removed = []
        self.ids = {}

    def execute(self, container, argv):
        assert container == "provision-mariadb-1"
        return self.answers.pop(0)

    def remove_volumes(self, names):
        self.removed += names

    def container_id(self, name):
        return self.ids.get(name, "")


class Project:
    def __init__(self):
        self.done = []
        self.on_up = lambda services: None

    def up(self, services):
        self.done.append(tuple(services))
        self.on_up(services)

    def stop(self, services):
        self.done.append(("stop", *services))

    def remove(self, services):
        self.done.append(("remove", *services))


class Catalogue:
    def __init__(self, **containers):
        self.there = containers

    def containers(self, service):
        if service not in self.there:
            raise ConsulUnavailableError("away")
        return self.there[service]


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def project(monkeypatch):
    project = Project()
    monkeypatch.setattr(members, "control", lambda: project)
    return project


def test_the_choice_is_kept(project):
    members.ensure_choice(Engine(), Silent(), None)
    assert not installation.load_settings().ha
    members.ensure_choice(Engine(), Silent(), True)
    assert installation.load_settings().ha
    members.ensure_choice(Engine(), Silent(), None)
    assert installation.load_settings().ha
    assert not project.done


def test_from_three_to_one_the_others_leave_first(project):
    installation.save_settings(HA)
    engine = Engine((0, STATUS.format("Primary", 3)), (0, STATUS.format("Primary", 1)))
    members.ensure_choice(engine, Silent(), False)
    others = member_services(HA)
    assert project.done == [("stop", *others), ("remove", *others)]
    assert not installation.load_settings().ha
    assert set(engine.removed) == {
        f"provision_{name}" for name in ("mariadb-2", "mariadb-3", "rabbitmq", "rabbitmq-2", "rabbitmq-3")
    }


@pytest.mark.parametrize("answer", [(1, "no such container"), (0, STATUS.format("non-Primary", 1)), (0, "")])
def test_nobody_leaves_when_the_first_may_lack_something(project, answer):
    installation.save_settings(HA)
    with pytest.raises(UsageError, match="another may hold what it lacks"):
        members.ensure_choice(Engine(answer), Silent(), False)
    assert not project.done
    assert installation.load_settings().ha


def test_nothing_is_forgotten_when_the_first_does_not_stay(project):
    installation.save_settings(HA)
    engine = Engine((0, STATUS.format("Primary", 3)), (0, STATUS.format("non-Primary", 1)))
    with pytest.raises(ProvisionError, match="did not stay"):
        members.ensure_choice(engine, Silent(), False)
    assert not engine.removed
    assert installation.load_settings().ha


def answered(waits):
    """Wait for nothing, and keep what is still missing."""
    return lambda missing: waits.append(missing) if missing() else None


def test_one_of_each_is_started_and_not_waited_for():
    project = Project()
    members.start(Engine(), project, Catalogue(), Settings(), wait=lambda missing: missing(), rights=str)
    assert project.done == [INFRASTRUCTURE]


def test_members_that_do_not_serve_yet_start_side_by_side():
    project, waits = Project(), []
    catalogue = Catalogue(mariadb={"a"}, rabbitmq=set(), memcached={"x", "y", "z"})
    members.start(Engine(), project, catalogue, HA, wait=answered(waits), rights=str)
    assert project.done[-1] == (*CLUSTERED, *member_services(HA))
    assert len(project.done) == 2
    (missing,) = waits
    assert missing() == "mariadb (1 of 3 serve), rabbitmq (0 of 3 serve)"
    catalogue.there["mariadb"] = catalogue.there["rabbitmq"] = {"a", "b", "c"}
    assert missing() == ""
    assert members.lacking(Catalogue(), HA) == "Consul"


def test_members_that_serve_change_one_at_a_time_and_each_is_waited_for():
    engine, project, waits = Engine(), Project(), []
    catalogue = Catalogue(**{service: {f"{service}-old-{n}" for n in range(3)} for service in CLUSTERED})

    def renewed(services):
        if services == ["mariadb-2"]:
            engine.ids["provision-mariadb-2-1"] = "0123456789abcdef"

    project.on_up = renewed
    members.start(engine, project, catalogue, HA, wait=answered(waits), rights=str)
    assert [each for each in project.done if len(each) == 1][:3] == [("mariadb-2",), ("mariadb-3",), ("mariadb",)]
    assert len(waits) == 1
    assert waits[0]() == "mariadb-2 (just renewed)"
    catalogue.there["mariadb"].add("0123456789ab")
    assert waits[0]() == ""
