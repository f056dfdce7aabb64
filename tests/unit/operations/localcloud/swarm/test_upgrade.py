"""An upgrade of some services on several hosts: which, in which order, and what stays as it is."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from provision.base.errors import ProvisionError, UsageError
from provision.base.poll import Pending
from provision.base.progress import Silent
from provision.model.localcloud.settings import Settings
from provision.model.localcloud.swarm import Host, Task
from provision.operations.localcloud.shared.installation import begin_restoring
from provision.operations.localcloud.swarm import up, upgrade

from ..fake_clock import use_clock

SETTINGS = Settings(ha=True, swarm=True)


@pytest.fixture(name="world")
def _world(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    world = SimpleNamespace(wanted={"keystone": 2}, missing=None, brought=[], unlocked=[], tidied=[])
    monkeypatch.setattr(upgrade.compose, "require", lambda: None)
    monkeypatch.setattr(upgrade, "Engine", lambda: None)
    monkeypatch.setattr(upgrade, "newest_settings", lambda engine: SETTINGS)
    monkeypatch.setattr(upgrade, "drop_leftovers", lambda engine, stack: world.tidied.append(stack))
    swarm = SimpleNamespace(
        desired_replicas=lambda: world.wanted,
        state=lambda: ("active", True),
        host_id=lambda: "id1",
        take_lock=lambda: "id1",
        drop_lock=world.unlocked.append,
    )
    monkeypatch.setattr(upgrade, "swarm_adapter", lambda settings: swarm)
    monkeypatch.setattr(upgrade, "missing_members", lambda swarm, settings: world.missing)
    monkeypatch.setattr(
        upgrade, "bring_up", lambda engine, swarm, progress, *what: world.brought.append(tuple(map(set, what)))
    )
    return world


def test_named_services_and_what_tells_the_hosts_are_brought_up(world):
    upgrade.upgrade(Silent(), ["nova-api", "mariadb"])
    members = {"mariadb", "mariadb-2", "mariadb-3"}
    assert world.brought == [({"registry", "nova", "mariadb"}, {"registry", "mirror", "nova-api", *members})]
    upgrade.upgrade(Silent(), ["ovn"])
    # The others run with what came before.
    assert world.tidied == []
    assert world.brought[1] == ({"registry", "ovn"}, {"registry", "mirror", "ovn", "ovn-2", "ovn-3"})


def test_without_names_everything_is(world):
    upgrade.upgrade(Silent(), [])
    assert world.brought == [(set(SETTINGS.families),)]
    assert world.unlocked == ["id1"]
    assert len(world.tidied) == 1


def test_data_that_a_restore_has_left_incomplete_while_this_waited_is_not_gone_on_with(world, monkeypatch, tmp_path):
    def lock(swarm, progress):
        begin_restoring(tmp_path / "cloud.tar.gz")
        return nullcontext()

    monkeypatch.setattr(upgrade, "swarm_lock", lock)
    with pytest.raises(UsageError, match="was interrupted"):
        upgrade.upgrade(Silent(), [])
    assert world.brought == []


def test_unknown_services_and_a_cloud_that_does_not_run_are_bad_usage(world):
    for name in ("nova", "mariadb-2", "ovn-2"):
        with pytest.raises(UsageError, match=f"no service '{name}'"):
            upgrade.upgrade(Silent(), ["keystone", name])
    world.wanted = {"registry": 1}
    with pytest.raises(UsageError, match="does not run"):
        upgrade.upgrade(Silent(), ["keystone"])
    assert world.brought == []


def test_no_member_is_replaced_while_another_is_missing(world):
    world.missing = Pending("mariadb (2 of 3 serve)")
    with pytest.raises(ProvisionError, match="2 of 3 serve"):
        upgrade.upgrade(Silent(), ["rabbitmq"])
    upgrade.upgrade(Silent(), ["keystone"])
    assert len(world.brought) == 1


class FakeSwarm:
    def __init__(self, tasks=()):
        self.deployed, self.all = [], list(tasks)

    def deploy(self, document):
        self.deployed.append(tuple(document["services"]))

    def tasks(self):
        return self.all.pop(0) if len(self.all) > 1 else self.all[0]

    def host_id(self):
        return "id1"

    def hosts(self):
        return (Host("id1", "host-1", "192.0.2.1", True, 1), Host("id2", "host-2", "192.0.2.2", False))

    def updates(self):
        return {}

    def desired_replicas(self):
        return {"nova-api": 1}


FILE = {
    "services": {
        name: {"image": f"new-{name}", "secrets": [], "volumes": []} for name in ("nova-api", "nova-conductor")
    },
    "secrets": {},
    "volumes": {},
}


def deployment(swarm, only, monkeypatch, **more):
    installation = SimpleNamespace(settings=SETTINGS, passwords={"admin": "x"})
    stack = SimpleNamespace(installation=installation, file=lambda: FILE, **more)
    use_clock(monkeypatch)
    monkeypatch.setattr(up.time, "sleep", lambda _: None)
    made = up.Deployment(None, swarm, stack, Silent(), only)
    made.migrated = []
    monkeypatch.setattr(made, "_migrate", made.migrated.append)
    return made


def task(service, image, *, wanted=True, host="host-1"):
    return Task(service, host, "running", wanted, image=image, slot=1)


def test_what_is_not_named_is_not_deployed(monkeypatch):
    swarm = FakeSwarm([[task("nova-api", "new-nova-api")]])
    made = deployment(swarm, {"nova-api"}, monkeypatch)
    made._deploy("nova-conductor")
    made._deploy("nova-api", "nova-conductor")
    assert swarm.deployed == [("nova-api",)]


def test_the_second_half_of_a_schema_waits_for_the_last_old_replica(monkeypatch):
    new = [task("nova-api", "new-nova-api"), task("nova-conductor", "new-nova-conductor")]
    # One of a host that is away will not come to its end.
    away = task("nova-api", "old", wanted=False, host="host-2")
    swarm = FakeSwarm([[*new, away, task("nova-api", "old", wanted=False)], [*new, away]])
    made = deployment(swarm, (), monkeypatch)
    made._contract(["nova"])
    assert made.migrated == [{"nova": "contract"}]
    assert len(swarm.all) == 1


def test_the_second_half_of_a_schema_is_left_while_a_service_is_old(monkeypatch):
    made = deployment(
        FakeSwarm([[task("nova-api", "new-nova-api"), task("nova-conductor", "old")]]), {"nova-api"}, monkeypatch
    )
    made._contract(["nova"])
    assert made.migrated == [{}]


def test_only_named_services_databases_are_migrated(monkeypatch):
    made = deployment(FakeSwarm([[]]), {"nova-api"}, monkeypatch)
    made._swarm.container = lambda service: "c1" if service == "mariadb" else ""
    monkeypatch.setattr(up.schema, "pending", lambda *_: ["keystone", "nova"])
    assert made._not_migrated() == ["nova"]
