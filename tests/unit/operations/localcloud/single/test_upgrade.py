"""An upgrade on a fake host: schemas before and after, Nova's own order, and what is left."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.replicas import SCALABLE_SERVICES
from provision.model.localcloud.settings import MIGRATED, Settings
from provision.operations.localcloud.shared.hypervisors import AGENTS
from provision.operations.localcloud.single import rolling, upgrade
from provision.operations.localcloud.single.rolling import ReplicaSet

from ..fake_clock import use_clock
from .replicas_world import FakeCompose, Machine

HYPERVISOR = "provision-compute-1"


@pytest.fixture
def machine(monkeypatch):
    machine = Machine(migrated=dict.fromkeys(MIGRATED, "old"))
    use_clock(monkeypatch, machine)
    monkeypatch.setattr(rolling, "time", machine)
    return machine


def installation(machine, **compose):
    control = FakeCompose(machine, **compose)
    return SimpleNamespace(
        control=control,
        hypervisors=(FakeCompose(machine, project=HYPERVISOR),),
        replicas={each.service: 1 for each in SCALABLE_SERVICES},
        inputs=dict.fromkeys(MIGRATED, "new"),
        settings=Settings(ha=control.ha),
    )


def replace_outdated(machine, services=None, **compose):
    here = installation(machine, **compose)
    replicas = ReplicaSet(here.control, machine, machine, machine, machine, ready_timeout=20)
    every = (*here.replicas, *AGENTS)
    upgrade.replace_outdated(machine, here, replicas, machine, services or every)


def everything(machine, tag="old"):
    for each in SCALABLE_SERVICES:
        machine.put(each.service, 1, tag)
    for agent in ("nova-compute", "metadata-agent", "libvirt"):
        machine.put(agent, 1, tag, project=HYPERVISOR)


def order(machine, *words):
    """Show the effects that begin with one of these words."""
    return [line for line in machine.log if line.split()[0] in words]


def test_a_whole_upgrade_in_its_order(machine):
    everything(machine)
    replace_outdated(machine)
    runs = [line for line in machine.log if line.startswith("run")]
    assert sorted(runs[:5]) == sorted(f"run {family}-migrate expand" for family in MIGRATED)
    assert sorted(runs[5:]) == sorted(f"run {family}-migrate contract" for family in MIGRATED)
    starts = order(machine, "start")
    assert starts == [f"start {each.service} 1 new" for each in SCALABLE_SERVICES]
    places = {line: place for place, line in enumerate(machine.log)}
    assert max(places[line] for line in runs[:5]) < places[starts[0]]
    assert places["end neutron-workers 1 old 0"] < places[f"up {HYPERVISOR} nova-compute metadata-agent"]
    assert places[f"up {HYPERVISOR} nova-compute metadata-agent"] < min(places[line] for line in runs[5:])


def test_what_vms_depend_on_is_never_replaced_under_them(machine):
    everything(machine)
    replace_outdated(machine)
    assert not [line for line in order(machine, "up") if "libvirt" in line]


def test_nothing_to_do_does_nothing(machine):
    everything(machine, "new")
    machine.migrated = dict.fromkeys(MIGRATED, "new")
    replace_outdated(machine)
    assert machine.log == []


def test_one_service_brings_half_of_its_schema_until_the_rest_of_its_family_follows(machine):
    everything(machine)
    replace_outdated(machine, ["nova-api"])
    assert order(machine, "run", "start", "up") == ["run nova-migrate expand", "start nova-api 1 new"]
    machine.log.clear()
    replace_outdated(machine, ["nova-conductor", "nova-scheduler", "nova-metadata"])
    assert order(machine, "run") == ["run nova-migrate expand", "run nova-migrate contract"]


def test_a_schema_that_is_there_needs_no_half(machine):
    everything(machine)
    machine.migrated["keystone"] = "new"
    replace_outdated(machine, ["keystone"])
    assert not order(machine, "run")


def test_a_replica_that_does_not_work_stops_the_upgrade_before_the_schemas_second_half(machine):
    everything(machine)
    machine.next["nova-conductor"] = {"works": None}
    with pytest.raises(ProvisionError, match="new replica 1 of nova-conductor"):
        replace_outdated(machine)
    assert order(machine, "start") == [
        "start keystone 1 new", "start glance 1 new", "start placement 1 new", "start nova-conductor 1 new",
    ]  # fmt: skip
    assert not [line for line in machine.log if "contract" in line]
    assert machine.running("nova-conductor") == [(1, "old", "provision-nova-conductor-1")]


def test_an_upgrade_that_broke_off_before_its_last_step_takes_it_the_next_time(machine):
    everything(machine, "new")
    machine.migrated = dict.fromkeys(MIGRATED, "new") | {"nova": "old"}
    replace_outdated(machine)
    assert machine.log == [
        "phase schemas, before", "run nova-migrate expand", "phase schemas, after", "run nova-migrate contract",
    ]  # fmt: skip


def test_a_schema_that_cannot_be_expanded_stops_it_before_anything(machine):
    everything(machine)
    with pytest.raises(ProvisionError, match="migrate failed"):
        replace_outdated(machine, failing=("expand",))
    assert not order(machine, "start", "end", "leave")


def test_an_agent_that_does_not_come_back_is_said(machine):
    everything(machine, "new")
    machine.put("nova-compute", 1, "old", project=HYPERVISOR, works=None)
    with pytest.raises(ProvisionError, match="does not work after it was replaced") as caught:
        replace_outdated(machine)
    assert caught.value.detail == "last words of nova-compute"


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        (["nova"], "there is no service 'nova'"),
        (["keystone", "nothing"], "there is no service 'nothing'"),
        (["libvirt"], "VMs depend on libvirt"),
    ],
)
def test_services_that_cannot_be_upgraded_are_refused_before_anything(monkeypatch, named, problem):
    monkeypatch.setattr(upgrade, "is_installed", lambda: True)
    monkeypatch.setattr(upgrade, "Engine", None)
    with pytest.raises(UsageError, match=problem) as caught:
        upgrade.upgrade(None, named)
    assert caught.value.hint


def test_without_a_cloud_there_is_nothing_to_upgrade(monkeypatch):
    monkeypatch.setattr(upgrade, "is_installed", lambda: False)
    with pytest.raises(UsageError, match="no local cloud"):
        upgrade.upgrade(None, [])


class _BuiltError(Exception):
    """Ends an upgrade once it is known which images it builds."""


@pytest.mark.parametrize(
    ("on", "named", "families"),
    [
        (True, ["monitoring-host"], {"monitoring"}),
        (True, [], {"monitoring", "registrator", "compute"}),
        (False, [], {"registrator", "compute"}),
        (False, ["monitoring"], UsageError),
    ],
)
def test_monitoring_is_upgraded_where_it_is_on(machine, monkeypatch, on, named, families):
    def ensure_images(engine, progress, names):
        raise _BuiltError(names)

    machine.put("keystone", 1, "old")
    monkeypatch.setattr(upgrade, "load_settings", lambda: Settings(monitoring=on))
    monkeypatch.setattr(upgrade, "is_installed", lambda: True)
    monkeypatch.setattr(upgrade, "Engine", lambda: machine)
    monkeypatch.setattr(upgrade, "control", lambda: FakeCompose(machine))
    monkeypatch.setattr(upgrade.compose, "require", lambda: None)
    monkeypatch.setattr(upgrade, "ensure_images", ensure_images)
    if families is UsageError:
        with pytest.raises(UsageError, match="there is no service 'monitoring'"):
            upgrade.upgrade(machine, named)
        return
    with pytest.raises(_BuiltError) as caught:
        upgrade.upgrade(machine, named)
    (built,) = caught.value.args
    assert families <= built
    assert on == ("monitoring" in built)


def test_what_cannot_stand_beside_itself_is_replaced_when_it_is_named(machine):
    machine.put("mariadb", 1, "old")
    here = installation(machine)
    replicas = ReplicaSet(here.control, machine, machine, machine, machine)
    assert upgrade.is_outdated(machine, here, "mariadb")
    upgrade.replace_members(machine, here, replicas, "mariadb", 20)
    assert machine.log == ["up provision mariadb"]
    assert not upgrade.is_outdated(machine, here, "mariadb")


MEMBERS = ("mariadb", "mariadb-2", "mariadb-3")


def members(machine, tag="old", **fates):
    for name in MEMBERS:
        id_ = machine.put(name, 1, tag, **fates.get(name.replace("-", "_"), {}))
        machine.boxes[id_].state = replace(machine.boxes[id_].state, registers=True)
    here = installation(machine, ha=True)
    return here, ReplicaSet(here.control, machine, machine, machine, machine)


def test_members_are_replaced_one_at_a_time_and_the_first_is_the_last(machine):
    here, replicas = members(machine)
    serving = []
    machine.watch.append(lambda: serving.append(sum(upgrade.is_working(machine, here, replicas, n) for n in MEMBERS)))
    upgrade.replace_members(machine, here, replicas, "mariadb", 20)
    assert machine.log == ["up provision mariadb-2", "up provision mariadb-3", "up provision mariadb"]
    assert min(serving) == 2
    assert not upgrade.is_outdated(machine, here, "mariadb")


def test_one_member_that_is_old_makes_its_service_old(machine):
    here, _ = members(machine, "new")
    assert not upgrade.is_outdated(machine, here, "mariadb")
    (id_,) = (key for key, box in machine.boxes.items() if box.state.service == "mariadb-3")
    machine.boxes[id_].state = replace(machine.boxes[id_].state, image="provision/x:old")
    assert upgrade.is_outdated(machine, here, "mariadb")
    upgrade.note_rest(machine, here, machine)
    assert machine.lines[0].endswith("`provision cloud upgrade mariadb`.")
    del machine.boxes[id_]
    assert upgrade.is_outdated(machine, here, "mariadb")


def test_no_member_leaves_while_another_does_not_work(machine):
    here, replicas = members(machine, mariadb_3={"works": None})
    with pytest.raises(ProvisionError, match="mariadb-3 does not work, so mariadb-2 is not replaced"):
        upgrade.replace_members(machine, here, replicas, "mariadb", 20)
    assert machine.log == []


def test_a_member_that_does_not_come_back_ends_it_with_the_others_untouched(machine):
    here, replicas = members(machine)
    machine.next["mariadb-2"] = {"works": None}
    with pytest.raises(ProvisionError, match="mariadb-2 does not work after it was replaced"):
        upgrade.replace_members(machine, here, replicas, "mariadb", 20)
    assert machine.log == ["up provision mariadb-2"]


def test_what_is_left_is_named(machine):
    everything(machine)
    machine.put("mariadb", 1, "old")
    upgrade.note_rest(machine, installation(machine), machine)
    assert machine.lines == [
        "Still out of date: mariadb. Replacing it takes a pause of seconds: `provision cloud upgrade mariadb`.",
        f"Still out of date: libvirt of {HYPERVISOR}, on which VMs depend. "
        "`provision cloud down` and `provision cloud up` replace them.",
    ]
