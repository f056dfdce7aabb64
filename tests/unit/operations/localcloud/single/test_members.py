"""Three members or one on one host: the choice, the start, and how one changes at a time."""

from __future__ import annotations

import pytest

from provision.base.errors import ProvisionError, UsageError
from provision.base.poll import Pending
from provision.base.progress import Silent
from provision.model.localcloud.settings import CLUSTERED, INFRASTRUCTURE, Settings, member_services
from provision.operations.localcloud.shared import installation
from provision.operations.localcloud.single import members

from ..consul_keys import ConsulKeys

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
    # The first broker's volume is in use as long as its container is there.
    assert project.done == [("stop", *others), ("remove", *others, "rabbitmq")]
    assert not installation.load_settings().ha
    assert set(engine.removed) == {
        f"provision_{name}" for name in ("mariadb-2", "mariadb-3", "rabbitmq", "rabbitmq-2", "rabbitmq-3")
    }


def test_what_was_interrupted_before_all_data_is_gone_can_be_begun_again(project):
    class Interrupted(Engine):
        def remove_volumes(self, names):
            raise KeyboardInterrupt

    installation.save_settings(HA)
    with pytest.raises(KeyboardInterrupt):
        members.ensure_choice(
            Interrupted((0, STATUS.format("Primary", 3)), (0, STATUS.format("Primary", 1))), Silent(), False
        )
    assert installation.load_settings().ha
    engine = Engine(*[(0, STATUS.format("Primary", 1))] * 2)
    members.ensure_choice(engine, Silent(), False)
    assert not installation.load_settings().ha
    assert "provision_mariadb-2" in engine.removed


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
    return lambda ask: waits.append(ask) if ask() else None


def test_one_of_each_is_started_and_not_waited_for():
    project = Project()
    members.start(Engine(), project, ConsulKeys(), Settings(), wait=lambda ask: ask(), rights=lambda: None)
    assert project.done == [INFRASTRUCTURE]


def test_members_that_do_not_serve_yet_start_side_by_side():
    project, waits = Project(), []
    keys = ConsulKeys(mariadb={"a"}, rabbitmq=set(), memcached={"x", "y", "z"})
    members.start(Engine(), project, keys, HA, wait=answered(waits), rights=lambda: None)
    assert project.done[-1] == (*CLUSTERED, *member_services(HA))
    assert len(project.done) == 2
    (missing,) = waits
    assert missing() == Pending("mariadb (1 of 3 serve), rabbitmq (0 of 3 serve)")
    keys.there["mariadb"] = keys.there["rabbitmq"] = {"a", "b", "c"}
    assert missing() is None


def test_members_that_serve_change_one_at_a_time_and_each_is_waited_for():
    engine, project, waits = Engine(), Project(), []
    keys = ConsulKeys(**{service: {f"{service}-old-{n}" for n in range(3)} for service in CLUSTERED})

    def renewed(services):
        if services == ["mariadb-2"]:
            engine.ids["provision-mariadb-2-1"] = "0123456789abcdef"

    project.on_up = renewed
    members.start(engine, project, keys, HA, wait=answered(waits), rights=lambda: None)
    assert [each for each in project.done if len(each) == 1][:3] == [("mariadb-2",), ("mariadb-3",), ("mariadb",)]
    assert len(waits) == 1
    assert waits[0]() == Pending("mariadb-2 (just replaced)")
    keys.there["mariadb"].add("0123456789ab")
    assert waits[0]() is None
