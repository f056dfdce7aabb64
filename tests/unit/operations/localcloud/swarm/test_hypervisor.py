"""A Swarm's host becomes a hypervisor, and ceases to be one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from provision.base.progress import Silent
from provision.model.localcloud.host import ServiceState
from provision.model.localcloud.settings import EARLY, Settings
from provision.operations.localcloud.shared.installation import save_settings
from provision.operations.localcloud.swarm import hypervisor

SETTINGS = Settings(ha=True, swarm=True, members=("192.0.2.1", "192.0.2.2", "192.0.2.3"))
REMOTE = "ssl:192.0.2.1:6642,ssl:192.0.2.2:6642,ssl:192.0.2.3:6642"


class World:
    """This host's engine, its Compose project, and the cloud's administrator: what each was asked for."""

    project = "provision-node-7"

    def __init__(self):
        self.done, self.there = [], []
        self.followed, self.databases = "", "d1"

    def host(self):
        return "Node.7"

    def states(self, project=""):
        return [ServiceState("switch", "s", "running")] if self.there else []

    def execute(self, container, argv):
        if argv[-1] == "external_ids:provision-databases":
            return 0, f'"{self.followed}"\n' if self.followed else "\n"
        if argv[-1] == "_uuid":
            return 0, f"{self.databases}\n"
        self.done.append(("execute", container, *argv[-1:]))
        return 0, ""

    def up(self, services, **options):
        self.done.append(("up", *services))

    def down(self, *, volumes):
        self.done.append(("down", volumes))

    def __getattr__(self, name):
        return lambda *words: self.done.append((name, *words))


@pytest.fixture(name="world")
def _world(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    world = World()
    save_settings(SETTINGS)
    (tmp_path / "provision/local/compose.env").write_text("")
    monkeypatch.setattr(hypervisor, "project", lambda _: world)
    monkeypatch.setattr(hypervisor, "Admin", lambda _: world)
    monkeypatch.setattr(hypervisor, "Watch", lambda *_: SimpleNamespace(until=lambda _: None, all_run=None))
    return world


def test_a_host_becomes_a_hypervisor_of_its_own_name(world, monkeypatch):
    awaited = []
    monkeypatch.setattr(hypervisor, "await_hypervisors", lambda *words, **more: awaited.append((words, more)))
    installation = SimpleNamespace(settings=SETTINGS, passwords={"admin": "x"}, replicas={"nova-scheduler": 2})
    hypervisor.ensure(world, installation, Silent())
    assert [each[0] for each in world.done] == ["ensure_bridge", "ensure_bridge", "up", "up", "execute", "execute"]
    assert [each for each in world.done if each[0] == "up"] == [
        ("up", *EARLY),
        ("up", "nova-compute", "metadata-agent"),
    ]
    # A switch that was made before another host took a member's place learns of it.
    assert world.done[-2] == ("execute", "provision-node-7-switch-1", f'external_ids:ovn-remote="{REMOTE}"')
    assert world.done[-1][2] == "external_ids:provision-databases=d1"
    ((words, more),) = awaited
    assert words[-1] == ["Node.7"]
    assert more["replicas"] == {"nova-scheduler": 2}
    assert [container for container, _ in more["last_steps"].values()] == [
        "provision-node-7-switch-1",
        "provision-node-7-nova-compute-1",
    ]


@pytest.mark.parametrize(("followed", "databases", "new"), [("d1", "d1", False), ("d1", "d2", True), ("d1", "", False)])
def test_a_hypervisor_follows_databases_that_a_restore_has_made_anew(world, monkeypatch, followed, databases, new):
    monkeypatch.setattr(hypervisor, "await_hypervisors", lambda *words, **more: None)
    world.followed, world.databases = followed, databases
    hypervisor.ensure(world, SimpleNamespace(settings=SETTINGS, passwords={"admin": "x"}, replicas={}), Silent())
    told = ("execute", "provision-node-7-switch-1", "sb-cluster-state-reset")
    assert (told in world.done, ("remove", ["metadata-agent"]) in world.done) == (new, new)
    if new:
        assert world.done.index(("remove", ["metadata-agent"])) < world.done.index(
            ("up", "nova-compute", "metadata-agent")
        )


def test_a_host_that_stops_keeps_its_guests_disks_unless_all_goes(world):
    world.there = [True]
    for purge in (False, True):
        world.done.clear()
        hypervisor.stop(world, Silent(), purge=purge)
        assert [each[0] for each in world.done] == ["down", "remove_bridge", "remove_bridge"]
        assert world.done[0] == ("down", purge)


def test_nova_and_neutron_forget_a_host_that_leaves(world):
    hypervisor.retire(world, SETTINGS, Silent(), listed=False)
    assert world.done == []
    world.there = [True]
    hypervisor.retire(world, SETTINGS, Silent(), listed=True)
    assert (world.done[0], world.done[-1]) == (("down", True), ("forget_hypervisor", "Node.7"))


def test_they_forget_one_whose_leaving_was_interrupted_when_it_had_stopped(world):
    hypervisor.retire(world, SETTINGS, Silent(), listed=True)
    assert world.done == [("forget_hypervisor", "Node.7")]
