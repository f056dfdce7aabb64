"""ReplicaSet on a fake host: what is done in which order, and how many replicas serve at every moment."""

from __future__ import annotations

import pytest

from provision.adapters.consul.http import ConsulUnavailableError
from provision.base.errors import ProvisionError
from provision.base.poll import Pending
from provision.operations.localcloud.single import rolling
from provision.operations.localcloud.single.rolling import ReplicaSet

from ..fake_clock import use_clock
from .replicas_world import FakeCompose, Machine


@pytest.fixture
def machine(monkeypatch):
    machine = Machine()
    use_clock(monkeypatch, machine)
    monkeypatch.setattr(rolling, "time", machine)
    return machine


def replicas(machine, **options):
    return ReplicaSet(FakeCompose(machine), machine, machine, machine, machine, **options)


def test_an_api_is_replaced_one_replica_at_a_time_and_none_is_ever_missing(machine):
    for number in (1, 2, 3):
        machine.put("nova-api", number, "old")
    least = [3]
    machine.watch.append(lambda: least.append(machine.serving("nova-api")))
    replicas(machine).roll("nova-api", 3)
    assert [line for line in machine.log if "phase" not in line] == [
        line
        for number in (1, 2, 3)
        for line in (
            f"start nova-api {number} new",
            f"leave nova-api {number} old",
            f"end nova-api {number} old 0",
        )
    ]
    assert min(least) == 3
    assert machine.running("nova-api") == [(n, "new", f"provision-nova-api-{n}") for n in (1, 2, 3)]


def test_a_single_replica_gets_a_second_one_for_the_moment(machine):
    machine.put("keystone", 1, "old")
    serving = []
    machine.watch.append(lambda: serving.append(machine.serving("keystone")))
    replicas(machine).roll("keystone", 1)
    assert set(serving) == {1, 2}
    assert machine.running("keystone") == [(1, "new", "provision-keystone-1")]


def test_requests_under_way_end_before_their_replica_does(machine):
    id_ = machine.put("glance", 1, "old")
    machine.boxes[id_].requests = 40
    replicas(machine).roll("glance", 1)
    assert machine.log[-1] == "end glance 1 old 0"
    assert any("requests under way" in line for line in machine.lines)


def test_draining_has_an_end(machine):
    id_ = machine.put("nova-api", 1, "old")
    machine.boxes[id_].requests = 1000
    replicas(machine, drain_timeout=7).roll("nova-api", 1)
    assert machine.log[-1].startswith("end nova-api 1 old 9")
    assert any("leaves with" in line for line in machine.lines)


def test_what_listens_nowhere_is_replaced_when_its_successor_is_connected(machine):
    machine.put("nova-conductor", 1, "old")
    replicas(machine).roll("nova-conductor", 1)
    assert machine.log == ["start nova-conductor 1 new", "end nova-conductor 1 old 0"]
    assert machine.now >= 3


@pytest.mark.parametrize("service", ["placement", "nova-conductor"])
@pytest.mark.parametrize("fate", [{"works": None}, {"works": None, "ends": 4.0}])
def test_a_new_replica_that_does_not_work_is_removed_and_the_old_ones_go_on(machine, service, fate):
    machine.put(service, 1, "old")
    machine.put(service, 2, "old")
    machine.next[service] = fate
    with pytest.raises(ProvisionError) as caught:
        replicas(machine, ready_timeout=20).roll(service, 2)
    assert f"the new replica 1 of {service}" in caught.value.message
    assert "what ran before goes on" in caught.value.message
    assert caught.value.detail == f"last words of {service}"
    assert machine.running(service) == [(n, "old", f"provision-{service}-{n}") for n in (1, 2)]
    assert machine.log == [f"start {service} 1 new", f"end {service} 1 new 0"]


def test_an_interrupted_upgrade_is_continued(machine):
    machine.put("neutron-api", 1, "old")
    machine.put("neutron-api", 1, "new", works=None)
    machine.boxes[f"{2:012x}"].born = 0
    machine.boxes[f"{2:012x}"].works = 2.0
    replicas(machine).roll("neutron-api", 1)
    assert machine.log == ["leave neutron-api 1 old", "end neutron-api 1 old 0"]
    assert machine.running("neutron-api") == [(1, "new", "provision-neutron-api-1")]


def test_what_is_as_it_shall_be_is_left_alone(machine):
    machine.put("keystone", 1, "new")
    replicas(machine).roll("keystone", 1)
    assert machine.log == []


def test_replicas_beyond_the_number_leave_in_good_order(machine):
    for number in (1, 2, 3):
        machine.put("nova-api", number, "new")
    replicas(machine).roll("nova-api", 1)
    assert machine.log == [
        "leave nova-api 2 new",
        "end nova-api 2 new 0",
        "leave nova-api 3 new",
        "end nova-api 3 new 0",
    ]


def test_all_that_is_missing_starts_at_once_and_stopped_containers_go(machine):
    machine.put("keystone", 1, "new")
    id_ = machine.put("nova-api", 2, "new", ends=0.0)
    machine.sleep(1)
    new = replicas(machine).start({"keystone": 2, "nova-api": 2, "nova-conductor": 1})
    assert machine.log == [
        "end nova-api 2 new 0",
        "start nova-api 1 new",
        "start nova-conductor 1 new",
        "start keystone 2 new",
        "start nova-api 2 new",
    ]
    assert id_ not in machine.boxes
    assert {(state.service, state.number) for state in new} == {
        ("nova-api", 1), ("nova-api", 2), ("keystone", 2), ("nova-conductor", 1),
    }  # fmt: skip


def test_what_never_works_and_is_out_of_date_is_not_kept(machine):
    machine.put("keystone", 1, "old", works=None)
    machine.put("glance", 1, "old")
    machine.put("placement", 1, "new", works=None)
    machine.put("nova-api", 1, "old", works=1010.0)  # works in ten seconds
    replicas(machine).drop_broken(dict.fromkeys(("keystone", "glance", "placement", "nova-api", "neutron-api"), 1))
    assert machine.log == ["end keystone 1 old 0"]


def test_a_replica_is_not_removed_while_consul_is_away(machine, monkeypatch):
    machine.put("nova-api", 1, "new")
    extra = machine.put("nova-api", 2, "new")

    def away():
        raise ConsulUnavailableError("Consul does not answer")

    monkeypatch.setattr(machine, "services", away)
    with pytest.raises(ConsulUnavailableError):
        replicas(machine).roll("nova-api", 1)
    assert extra in machine.boxes


def test_without_haproxys_numbers_a_replica_leaves_after_a_moment(machine, monkeypatch):
    machine.put("nova-api", 1, "new")
    machine.put("nova-api", 2, "new")
    monkeypatch.setattr(machine, "servers", lambda: None)
    replicas(machine).roll("nova-api", 1)
    assert machine.log == ["leave nova-api 2 new", "end nova-api 2 new 0"]
    assert machine.now >= 5


def test_replicas_that_do_not_pass_their_checks_are_named(machine):
    machine.put("keystone", 1, "new")
    machine.put("keystone", 2, "new", works=None)
    machine.put("nova-conductor", 1, "new", works=None)
    assert replicas(machine).all_healthy() == Pending("keystone 2 (000000)")


def test_all_replicas_pass_their_checks(machine):
    machine.put("keystone", 1, "new")
    assert replicas(machine).all_healthy() is None


def test_the_drain_of_a_service_is_its_own_where_nobody_says_otherwise(machine):
    id_ = machine.put("nova-api", 2, "new")
    machine.boxes[id_].requests = 1000
    replicas(machine).retire(machine.boxes[id_].state)
    assert machine.now > 60
    assert machine.lines[-3].endswith("requests under way after 60 s")


def test_a_replica_whose_leaving_was_interrupted_serves_again_where_it_shall_stay(machine):
    machine.put("glance", 1, "new")
    id_ = machine.put("glance", 2, "new")
    machine.boxes[id_].left = 0.0
    machine.sleep(10)
    assert machine.serving("glance") == 1
    here = replicas(machine)
    (resumed,) = here.start({"glance": 2})
    here.wait(resumed)
    assert machine.log == ["stay glance 2 new"]
    assert here.all_healthy() is None
    assert machine.serving("glance") == 2


def test_one_that_shall_leave_is_not_called_back(machine):
    machine.put("glance", 1, "new")
    id_ = machine.put("glance", 2, "new")
    machine.boxes[id_].left = 0.0
    here = replicas(machine)
    assert here.start({"glance": 1}) == []
    here.roll("glance", 1)
    assert machine.log == ["leave glance 2 new", "end glance 2 new 0"]


def test_an_upgrade_that_was_interrupted_as_an_old_replica_left_can_be_taken_back(machine):
    id_ = machine.put("keystone", 1, "old")
    machine.put("keystone", 1, "new")
    machine.boxes[id_].left = 0.0
    machine.tag = "old"
    here = replicas(machine)
    # The one that came for it serves meanwhile.
    assert here.start({"keystone": 1}) == []
    here.roll("keystone", 1)
    assert machine.log == ["stay keystone 1 old", "leave keystone 1 new", "end keystone 1 new 0"]
    assert machine.serving("keystone") == 1


def test_a_consul_that_has_just_been_replaced_is_waited_for(machine, monkeypatch):
    id_ = machine.put("glance", 1, "new")
    machine.boxes[id_].left = 0.0
    known = machine.in_maintenance

    def in_maintenance():
        if machine.now < 5:
            raise ConsulUnavailableError("Consul does not answer")
        return known()

    monkeypatch.setattr(machine, "in_maintenance", in_maintenance)
    replicas(machine).roll("glance", 1)
    assert machine.log == ["stay glance 1 new"]
