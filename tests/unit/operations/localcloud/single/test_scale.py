"""More and fewer replicas: the number is kept if they work, and wrong words change nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from provision.base import paths
from provision.base.errors import ProvisionError, UsageError
from provision.operations.localcloud.shared.installation import load_settings
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
