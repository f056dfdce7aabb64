"""The status of a fake local cloud, for a person and for a program."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision.base.errors import ProvisionError
from provision.model.localcloud.settings import Settings
from provision.operations.localcloud.shared import installation
from provision.operations.localcloud.single import status

from .replicas_world import FakeCompose, Machine

HYPERVISOR = "provision-compute-1"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    machine = Machine()
    machine.host = lambda: "box"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(status, "Engine", lambda: machine)
    monkeypatch.setattr(status, "catalogue", lambda settings: machine)
    monkeypatch.setattr(status, "control", lambda: FakeCompose(machine))
    monkeypatch.setattr(status, "hypervisors", lambda settings: (FakeCompose(machine, project=HYPERVISOR),))
    monkeypatch.setattr(status, "this_checkout", dict)
    answers = type("Admin", (), {"api_problem": lambda *_: "", "missing_services": lambda *_: {}})
    monkeypatch.setattr(status, "Admin", lambda login: answers())
    for service in set(FakeCompose(machine).made_from()) - {"horizon"}:
        own = service in ("nova-compute", "metadata-agent", "libvirt")
        machine.put(service, 1, "new", project=HYPERVISOR if own else "provision")
    machine.made = FakeCompose.made_from
    split = {
        "provision": lambda each: each not in ("nova-compute", "metadata-agent", "libvirt"),
        HYPERVISOR: lambda each: each in ("nova-compute", "metadata-agent", "libvirt"),
    }
    every = FakeCompose.made_from

    def made_from(self):
        return {name: made for name, made in every(self).items() if split[self.project](name)}

    monkeypatch.setattr(FakeCompose, "made_from", made_from)
    return machine


def line(found, service):
    return next(each for each in found.services if each.service == service)


def test_all_is_well(machine):
    found = status.status()
    assert found.up
    keystone = line(found, "keystone")
    assert (keystone.wanted, keystone.running, keystone.healthy, keystone.drift, keystone.hosts) == (
        1,
        1,
        1,
        "",
        ("box",),
    )
    assert line(found, "compute-1 libvirt").healthy is None
    assert found.text().splitlines()[-1] == "Everything is up."
    document = found.document()
    assert document["up"] is True
    keys = ["service", "wanted", "running", "healthy", "images", "digests", "drift", "host", "up"]
    assert {tuple(each) for each in document["services"]} == {tuple(keys)}
    assert next(each for each in document["services"] if each["service"] == "keystone")["host"] == "box"


def test_out_of_date_is_said_and_is_no_failure(machine):
    machine.tag = "newer"
    found = status.status()
    assert found.up
    assert {each.drift for each in found.services if each.wanted} == {"image"}
    assert "`provision cloud upgrade` replaces it" in found.text()


@pytest.mark.parametrize("trouble", ["unhealthy", "missing", "extra", "stopped", "consul"])
def test_what_is_not_as_it_shall_be_is_not_up(machine, monkeypatch, trouble):
    id_ = next(key for key, box in machine.boxes.items() if box.state.service == "keystone")
    if trouble == "unhealthy":
        machine.boxes[id_].works = None
    elif trouble == "missing":
        del machine.boxes[id_]
    elif trouble == "extra":
        machine.put("keystone", 2, "new")
    elif trouble == "stopped":
        machine.boxes[id_].ends = 0
        machine.sleep(1)
    else:

        def away():
            raise ProvisionError("Consul does not answer")

        monkeypatch.setattr(machine, "services", away)
    found = status.status()
    assert not found.up
    assert not line(found, "keystone").up
    assert "Everything is up." not in found.text()


def with_members(machine, monkeypatch):
    installation.save_settings(Settings(ha=True))
    monkeypatch.setattr(status, "control", lambda: FakeCompose(machine, ha=True))
    boxes = []
    for name in ("mariadb-2", "mariadb-3"):
        machine.put(name, 1, "new")
    for box in machine.boxes.values():
        if box.state.service.startswith("mariadb"):
            box.state = replace(box.state, registers=True)
            boxes.append(box)
    return boxes


def test_members_are_one_service(machine, monkeypatch):
    with_members(machine, monkeypatch)
    found = status.status()
    assert found.up
    mariadb = line(found, "mariadb")
    assert (mariadb.wanted, mariadb.running, mariadb.healthy, mariadb.drift) == (3, 3, 3, "")
    assert not [each for each in found.services if each.service.startswith("mariadb-")]
    (row,) = (each.split() for each in found.text().splitlines() if each.startswith("mariadb"))
    assert row[:3] == ["mariadb", "3/3", "3"]
    # Each is itself among the containers.
    names = {each["service"] for each in found.document()["containers"]}
    assert {"mariadb", "mariadb-2", "mariadb-3"} <= names


@pytest.mark.parametrize(("trouble", "running", "healthy"), [("unhealthy", 3, 2), ("missing", 2, 2), ("old", 3, 3)])
def test_each_member_counts(machine, monkeypatch, trouble, running, healthy):
    box = with_members(machine, monkeypatch)[-1]
    if trouble == "unhealthy":
        box.works = None
    elif trouble == "missing":
        del machine.boxes[box.state.id]
    else:
        box.state = replace(box.state, image="provision/x:old")
    found = status.status()
    mariadb = line(found, "mariadb")
    assert (mariadb.wanted, mariadb.running, mariadb.healthy) == (3, running, healthy)
    assert mariadb.up == found.up == (trouble == "old")
    assert mariadb.drift == ("image" if trouble == "old" else "")


def test_members_that_nobody_asked_for_are_too_many(machine, monkeypatch):
    with_members(machine, monkeypatch)
    installation.save_settings(Settings())
    monkeypatch.setattr(status, "control", lambda: FakeCompose(machine))
    mariadb = line(status.status(), "mariadb")
    assert (mariadb.wanted, mariadb.running, mariadb.drift, mariadb.up) == (1, 3, "no longer wanted", False)


def test_without_containers(machine):
    machine.boxes.clear()
    found = status.status()
    assert not found.up
    assert "`provision cloud up` starts it" in found.text()
