"""The wait for hypervisors, and the steps that shorten it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from provision.model.localcloud.settings import EARLY
from provision.operations.localcloud.shared import hypervisors

from ..fake_clock import FakeClock

STEPS = {" OVN metadata": ("ovn", ["sync"]), " hypervisor": ("scheduler", ["discover_hosts"])}


@pytest.fixture
def clock(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(hypervisors, "time", clock)
    return clock


def wait(clock, *rounds):
    """Wait while Nova and Neutron lack what each round says; return the steps that were taken, and what was shown."""
    rounds, steps, shown = list(rounds), [], []
    admin = SimpleNamespace(missing_services=lambda names, replicas: dict.fromkeys(rounds.pop(0), "down"))
    engine = SimpleNamespace(execute=lambda container, argv: steps.append((clock.now, container)))

    def until(ask):
        while ask():
            clock.sleep(1)

    watch = SimpleNamespace(until=until, update=lambda item, state: shown.append((item, state)))
    hypervisors.await_hypervisors(engine, admin, watch, ["compute-1"], replicas={}, last_steps=STEPS)
    return steps, shown


def test_nothing_missing_takes_no_step(clock):
    steps, shown = wait(clock, [])
    assert (steps, shown) == ([], [("compute-1", "up")])


def test_the_last_steps_are_taken_when_nothing_else_is_missing(clock):
    agent = ["compute-1 nova-compute", "compute-1 hypervisor"]
    steps, shown = wait(clock, agent, agent, ["compute-1 hypervisor"], [])
    assert steps == [(2, "scheduler")]
    assert shown[0] == ("compute-1 nova-compute", "down")


def test_they_are_taken_again_after_ten_seconds(clock):
    both = ["compute-1 OVN metadata", "compute-1 hypervisor"]
    steps, _ = wait(clock, *[both] * 13, [])
    assert steps == [(0, "ovn"), (0, "scheduler"), (11, "ovn"), (11, "scheduler")]


def test_what_is_missing_is_said(clock):
    reasons = []
    rounds = [["compute-1 nova-compute"], []]
    admin = SimpleNamespace(missing_services=lambda names, replicas: dict.fromkeys(rounds.pop(0), "down"))

    def until(ask):
        while missing := ask():
            reasons.append(missing.reason)

    watch = SimpleNamespace(until=until, update=lambda item, state: None)
    hypervisors.await_hypervisors(None, admin, watch, ["compute-1"], replicas={}, last_steps=STEPS)
    assert reasons == ["compute-1 nova-compute (down)"]


@pytest.mark.parametrize(
    ("states", "removed"),
    [
        ({}, []),
        ({"netns": "running", "switch": "running", "libvirt": "running", "nova-compute": "exited"}, []),
        ({"netns": "running", "switch": "restarting", "libvirt": "exited"}, ["libvirt"]),
        ({"netns": "created", "switch": "dead", "libvirt": "exited"}, ["netns", "switch", "libvirt"]),
    ],
)
def test_what_vms_depend_on_is_made_anew_only_where_it_does_not_run(states, removed):
    done = []
    engine = SimpleNamespace(
        states=lambda project: [SimpleNamespace(service=name, state=state) for name, state in states.items()]
    )
    compose = SimpleNamespace(
        project="provision-compute-1",
        remove=lambda services: done.append(("remove", services)),
        up=lambda services, **options: done.append(("up", tuple(services), options)),
    )
    hypervisors.start_early(engine, compose)
    started = ("up", EARLY, {"no_recreate": True})
    assert done == ([("remove", removed)] if removed else []) + [started]
