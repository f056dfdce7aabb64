"""More and fewer replicas: the number is kept if they work, and wrong words change nothing."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace

import pytest

from provision.base import paths
from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.settings import Settings
from provision.operations.localcloud.shared.installation import load_settings, save_settings
from provision.operations.localcloud.single import rolling, scale
from provision.operations.localcloud.single.rolling import ReplicaSet

from ..fake_clock import use_clock
from .replicas_world import FakeCompose, Machine


@pytest.fixture
def machine(monkeypatch, tmp_path):
    machine = Machine()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    use_clock(monkeypatch, machine)
    monkeypatch.setattr(rolling, "time", machine)
    monkeypatch.setattr(scale, "Engine", lambda: machine)
    monkeypatch.setattr(scale, "control", lambda: FakeCompose(machine))
    monkeypatch.setattr(scale, "is_installed", lambda: True)
    monkeypatch.setattr(scale.compose, "require", lambda: None)
    monkeypatch.setattr(scale, "forget_removed", lambda progress, settings: machine.log.append("forget"))
    monkeypatch.setattr(
        scale, "replica_set", lambda control, *_, **how: ReplicaSet(control, machine, machine, machine, machine, **how)
    )
    return machine


def test_up_and_down_again(machine):
    machine.put("nova-api", 1, "new")
    scale.scale(machine, ["nova-api=3"], ready_timeout=20)
    assert load_settings().replicas == {"nova-api": 3}
    assert machine.log == ["phase replicas", "start nova-api 2 new", "start nova-api 3 new", "forget"]
    assert machine.serving("nova-api") == 3
    machine.log.clear()
    scale.scale(machine, ["nova-api=1"], ready_timeout=20)
    assert machine.log == [
        "phase replicas",
        "leave nova-api 3 new", "end nova-api 3 new 0",
        "leave nova-api 2 new", "end nova-api 2 new 0",
        "forget",
    ]  # fmt: skip
    assert load_settings().replicas == {"nova-api": 1}


def test_the_number_that_runs_already_changes_nothing(machine):
    machine.put("nova-api", 1, "new")
    scale.scale(machine, ["nova-api=1"])
    assert machine.log == ["phase replicas", "forget"]


def test_a_replica_that_does_not_work_is_removed_and_the_choice_is_what_it_was(machine):
    machine.put("nova-api", 1, "new")
    machine.next["nova-api"] = {"works": None}
    with pytest.raises(ProvisionError, match="new replica 2 of nova-api does not work after 20 s") as caught:
        scale.scale(machine, ["nova-api=3"], ready_timeout=20)
    assert caught.value.exit_code == 1
    assert load_settings().replicas == {}
    assert machine.running("nova-api") == [(1, "new", "provision-nova-api-1")]


def test_a_cloud_that_does_not_run_keeps_the_choice_for_its_start(machine):
    scale.scale(machine, ["keystone=2", "nova-conductor=2"])
    assert load_settings().replicas == {"keystone": 2, "nova-conductor": 2}
    assert machine.log == []
    assert "`provision cloud up` will start it" in machine.lines[-1]


def test_other_choices_stay(machine):
    folder = paths.localcloud_dir()
    folder.mkdir(parents=True)
    tls = {"host": "cloud.example", "cert": "/cert", "key": "/key", "authority": None}
    (folder / "choices.json").write_text(json.dumps({"tls": tls, "copies": {"glance": 2}}))
    scale.scale(machine, ["keystone=2"])
    assert load_settings().tls.host == "cloud.example"
    assert load_settings().replicas == {"glance": 2, "keystone": 2}


@pytest.mark.parametrize("words", [["nova-api"], ["nova-api=0"], ["nova-api=11"], ["mariadb=3"], ["what=2"]])
def test_bad_input_changes_nothing(machine, words):
    machine.put("nova-api", 1, "new")
    with pytest.raises(UsageError):
        scale.scale(machine, ["keystone=2", *words])
    assert machine.log == []
    assert not paths.localcloud_dir().exists()


def test_a_new_replica_is_of_the_image_and_the_configuration_that_run(machine):
    machine.put("nova-api", 1, "old")
    machine.put("nova-api", 1, "newer")
    machine.put("keystone", 1, "some")
    for box, configuration in zip(machine.boxes.values(), ("c-old", "c-newer", ""), strict=True):
        box.state = replace(box.state, configuration=configuration)
    values = scale.image_values(machine, machine, machine.states(), ["nova-conductor", "keystone"])
    assert values == {"NOVA_TAG": "old", "NOVA_CONFIG": "c-old", "KEYSTONE_TAG": "some"}


def test_the_first_replica_of_all_has_its_image_built(machine, monkeypatch):
    monkeypatch.setattr(scale, "ensure_images", lambda engine, progress, names: dict.fromkeys(names, "built"))
    machine.put("keystone", 1, "some")
    assert scale.image_values(machine, machine, machine.states(), ["glance"]) == {
        "KEYSTONE_TAG": "some",
        "GLANCE_TAG": "built",
    }


@pytest.fixture
def meanwhile(monkeypatch):
    """Have another command hold the lock first; return what makes it do something."""

    def first(action):
        def lock(progress):
            action()
            return nullcontext()

        monkeypatch.setattr(scale, "single_host_lock", lock)

    return first


@pytest.mark.parametrize("runs", [True, False])
def test_what_another_command_has_chosen_meanwhile_stays(machine, meanwhile, runs):
    if runs:
        machine.put("nova-api", 1, "new")
    meanwhile(lambda: save_settings(Settings(ha=True, replicas={"keystone": 2})))
    scale.scale(machine, ["nova-api=2"], ready_timeout=20)
    assert load_settings() == Settings(ha=True, replicas={"keystone": 2, "nova-api": 2})


def test_what_another_command_has_chosen_meanwhile_stays_where_this_one_fails(machine, meanwhile):
    machine.put("nova-api", 1, "new")
    machine.next["nova-api"] = {"works": None}
    meanwhile(lambda: save_settings(Settings(ha=True)))
    with pytest.raises(ProvisionError):
        scale.scale(machine, ["nova-api=2"], ready_timeout=20)
    assert load_settings() == Settings(ha=True)


def test_services_that_work_have_what_was_asked_for_and_others_what_they_had(machine):
    machine.put("nova-api", 1, "new")
    machine.put("keystone", 1, "new")
    for number in (1, 2):
        machine.put("placement", number, "new")
    machine.next["nova-api"] = {"works": None}
    with pytest.raises(ProvisionError, match="new replica 2 of nova-api"):
        scale.scale(machine, ["nova-api=2", "keystone=2", "placement=1"], ready_timeout=20)
    assert load_settings().replicas == {"keystone": 2, "placement": 1}
    counts = {service: len(machine.running(service)) for service in ("nova-api", "keystone", "placement")}
    assert counts == {"nova-api": 1, "keystone": 2, "placement": 1}
    assert machine.lines[-1] == "As asked for: keystone=2, placement=1. As before: nova-api=1."


def test_of_a_service_that_fails_no_new_replica_stays(machine):
    machine.put("nova-api", 1, "new")

    def one_works():
        for box in machine.boxes.values():
            box.works = 3.0 if box.state.number < 3 else None

    machine.watch.append(one_works)
    with pytest.raises(ProvisionError, match="new replica 3 of nova-api"):
        scale.scale(machine, ["nova-api=3"], ready_timeout=20)
    assert machine.running("nova-api") == [(1, "new", "provision-nova-api-1")]
    assert load_settings().replicas == {}


def test_where_nothing_can_be_started_all_is_as_before(machine, monkeypatch):
    machine.put("nova-api", 1, "new")
    added = FakeCompose.add

    def add(self, totals):
        if self.values["REPLICA"] == "3":
            raise ProvisionError("no room")
        added(self, totals)

    monkeypatch.setattr(FakeCompose, "add", add)
    with pytest.raises(ProvisionError, match="no room"):
        scale.scale(machine, ["nova-api=3"], ready_timeout=20)
    assert machine.running("nova-api") == [(1, "new", "provision-nova-api-1")]
    assert load_settings().replicas == {}


def test_a_machine_that_has_become_one_of_several_hosts_is_left_alone(machine):
    save_settings(Settings(ha=True, swarm=True))
    with pytest.raises(UsageError, match="one of several hosts"):
        scale.scale(machine, ["nova-api=2"])
    assert load_settings().replicas == {}
