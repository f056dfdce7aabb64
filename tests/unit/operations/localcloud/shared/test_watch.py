"""A wait with a look at the containers on each round."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision.base.errors import ProvisionError
from provision.base.poll import Pending
from provision.base.progress import Silent
from provision.model.localcloud.host import ServiceState
from provision.operations.localcloud.shared.watch import Watch

from ..fake_clock import use_clock

GLANCE = ServiceState("glance", "provision-glance-1", "running")


class Engine:
    def __init__(self, *states):
        self.now = list(states)

    def states(self):
        return self.now

    def last_lines(self, container):
        return f"last lines of {container}"


class Updates(Silent):
    def __init__(self):
        self.updates = []

    def update(self, item, state):
        self.updates.append((item, state))


@pytest.fixture
def clock(monkeypatch):
    return use_clock(monkeypatch)


def test_the_answer_is_returned_when_there_is_one(clock):
    answers = [Pending("the database"), Pending("the database"), ["nova"]]
    assert Watch(Engine(GLANCE), Silent()).until(lambda: answers.pop(0), every=0.5) == ["nova"]
    assert clock.now == 1


def test_after_seven_minutes_it_is_said_what_is_missing(clock):
    with pytest.raises(ProvisionError, match="after 7 min the local cloud still lacks: the database"):
        Watch(Engine(GLANCE), Silent()).until(lambda: Pending("the database"))
    assert 419 <= clock.now <= 422


@pytest.mark.parametrize("trouble", [{"state": "exited", "exit_code": 3}, {"restarts": 4}])
def test_a_container_that_does_not_stay_up_ends_the_wait_with_its_last_lines(clock, trouble):
    engine = Engine(replace(GLANCE, restarts=1))
    watch = Watch(engine, Silent())
    engine.now = [replace(GLANCE, **{"restarts": 1, **trouble})]
    with pytest.raises(ProvisionError, match="glance does not stay up") as caught:
        watch.until(lambda: Pending("the APIs"))
    assert caught.value.detail == "last lines of provision-glance-1"
    assert clock.now == 0


def test_what_was_restarted_before_does_not_count(clock):
    watch = Watch(Engine(replace(GLANCE, restarts=9)), Silent())
    answers = [Pending("the APIs"), None]
    assert watch.until(lambda: answers.pop(0)) is None


def test_only_changes_are_shown():
    progress, engine = Updates(), Engine(GLANCE)
    watch = Watch(engine, progress)
    watch.look()
    engine.now = [GLANCE, ServiceState("nova-api", "provision-nova-api-1", "created")]
    watch.look()
    watch.look()
    assert progress.updates == [("nova-api", "created")]


def test_services_that_do_not_run_are_named():
    engine = Engine(GLANCE)
    watch = Watch(engine, Silent())
    assert watch.all_run() is None
    engine.now = [GLANCE, ServiceState("consul", "c", "exited"), ServiceState("horizon", "h", "restarting")]
    assert watch.all_run() == Pending("consul, horizon")
