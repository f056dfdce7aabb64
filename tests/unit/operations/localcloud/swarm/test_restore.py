"""A backup put back on several hosts: nothing old is left anywhere, and one member hands it to the others."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from provision.adapters.host.files import ensure_private
from provision.base import paths
from provision.base.errors import ProvisionError, UsageError
from provision.base.poll import Pending
from provision.base.progress import Silent
from provision.model.localcloud.backup import AUTHORITY_FILES, key_files
from provision.model.localcloud.doctor.observed import Unit
from provision.model.localcloud.settings import Settings
from provision.model.localcloud.swarm import Host, clear_jobs
from provision.operations.localcloud.shared import backup as shared_backup
from provision.operations.localcloud.shared import installation, tls
from provision.operations.localcloud.swarm import restore as restore_module

from ..backup_world import DUMP, SERVES, FakeData, Notes, make_authority
from ..fake_clock import use_clock

SETTINGS = Settings(ha=True, swarm=True)
HOSTS = tuple(Host(f"id{n}", f"host-{n}", f"192.0.2.{n}", True, n) for n in (1, 2, 3))
KEPT = {"admin": "kept", "keystone_fernet": "f", "keystone_credential": "c", "registry": "theirs"}
UNIT = Unit("mariadb", "mariadb-1@host-1", "provision", "running", "r:1/provision/mariadb:ab", container="c1")


class Data(FakeData):
    def create_holder(self, image, volume, folder):
        self.held = (image, volume, folder)
        return "holder"


@pytest.fixture(name="world")
def _world(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    data, log = Data(), []
    data.galera = {"c1": SERVES}
    world = SimpleNamespace(data=data, log=log, hosts=HOSTS, me="id1", lacking=[""], ending=["host-2", ""])
    world.unlocked = []
    world.next_lacking = lambda: world.lacking.pop(0) if len(world.lacking) > 1 else world.lacking[0]
    world.file = tmp_path / "cloud.tar.gz"
    installation.write_passwords(json.dumps(KEPT))

    def keys(_, writer):
        for name, text in key_files(KEPT).items():
            writer.add(name, [text.encode()])

    monkeypatch.setattr(shared_backup, "ContainerData", lambda: data)
    world.keep = lambda *units, images=False: shared_backup.write_backup(
        Silent(), world.file, (UNIT, *units), keys, images=images
    )
    installation.save_settings(SETTINGS)
    swarm = SimpleNamespace(
        state=lambda: ("active", True),
        take_lock=lambda: world.me,
        drop_lock=world.unlocked.append,
        hosts=lambda: world.hosts,
        host_id=lambda: world.me,
        registry_answers=lambda: True,
        stopping_hosts=lambda: log.append("ending") or world.ending.pop(0),
    )

    class FakeDeployment:
        def __init__(self, *words):
            pass

        def start_empty(self, *, images):
            log.append("empty, with images" if images else "empty")

    current = SimpleNamespace(inputs={"nova": "n1", "keystone": "k1"})
    use_clock(monkeypatch)
    for name, value in {
        "ContainerData": lambda: data,
        "Engine": lambda: None,
        "Inspector": lambda: SimpleNamespace(replicas=lambda: (UNIT,)),
        "current_settings": lambda engine: SETTINGS,
        "swarm_adapter": lambda settings: swarm,
        "ensure_built": lambda *_: ({"glance": "ab"}, {}),
        "remove_services": lambda swarm, kept: log.append(("remove all but", kept)),
        "ensure_stack_files": lambda *_: SimpleNamespace(installation=current),
        "Deployment": FakeDeployment,
        "missing_members": lambda *_: Pending(missing) if (missing := world.next_lacking()) else None,
    }.items():
        monkeypatch.setattr(restore_module, name, value)
    monkeypatch.setattr(restore_module.compose, "require", lambda: None)
    return world


def restore(world):
    installation.write_passwords(json.dumps({"admin": "old", "registry": "ours"}))
    world.notes = Notes()
    restore_module.restore(world.notes, world.file, lambda: world.log.append("sure"))


def test_data_comes_when_nothing_old_runs_or_is_left(world):
    world.keep()
    world.lacking = ["mariadb (1 of 3 serve)", ""]
    restore(world)
    assert world.log == ["sure", ("remove all but", ("registry", "mirror")), "ending", "ending", "empty"]
    assert world.data.loaded == DUMP
    assert installation.read_passwords() == {**KEPT, "registry": "ours"}
    installation.require_complete_data()
    assert world.unlocked == ["id1"]


def test_images_go_into_the_volume_of_their_host(world):
    world.keep(Unit("glance", "glance", "provision", "running", container="c4"), images=True)
    restore(world)
    assert world.data.held == ("provision/glance:ab", "provision_glance", "/var/lib/glance")
    assert [place[:2] for place in world.data.put_in] == [("holder", "/var/lib/glance/images/63c24d03-c96d")]
    assert world.data.removed == ["holder"]
    assert world.log[-1] == "empty, with images"
    world.me = "id2"
    with pytest.raises(UsageError, match="images, and those are another host's") as caught:
        restore(world)
    assert caught.value.hint == "Run the same command on host-1."


@pytest.mark.parametrize(
    ("hosts", "me", "problem"),
    [
        ((*HOSTS[:2], replace(HOSTS[2], ready=False)), "id1", "host-3: away"),
        (HOSTS[:2], "id1", "needs three"),
        ((*HOSTS, Host("id4", "host-4", "192.0.2.4", True)), "id4", "runs no member"),
    ],
)
def test_hosts_that_are_not_all_there_are_bad_usage_and_nothing_changes(world, hosts, me, problem):
    world.keep()
    world.hosts, world.me = hosts, me
    with pytest.raises(UsageError, match=problem):
        restore(world)
    assert world.log == []
    installation.require_complete_data()


def test_an_authority_that_cannot_be_used_is_left_out_and_nothing_is_removed_where_there_is_no_other(world):
    for name in AUTHORITY_FILES:
        ensure_private(paths.localcloud_dir() / "tls" / name, "no certificate")
    world.keep()
    with pytest.raises(ProvisionError, match="holds no PEM certificate"):
        restore(world)
    assert world.log == []
    installation.require_complete_data()
    tls.write_authority(good := make_authority())
    restore(world)
    assert tls.authority_files() == good
    assert any("authority was left out, as it holds no PEM certificate" in note for note in world.notes.notes)


def test_an_interrupted_restore_keeps_the_cloud_from_starting(world):
    world.keep()
    world.lacking = ["mariadb (2 of 3 serve)"]
    with pytest.raises(ProvisionError, match="2 of 3 serve"):
        restore(world)
    with pytest.raises(UsageError, match="was interrupted"):
        installation.require_complete_data()


def test_volumes_are_emptied_where_they_are():
    def body(target, **deploy):
        mounts = [{"type": "volume", "source": "v", "target": target}, {"type": "bind", "source": "/x", "target": "/y"}]
        return {"volumes": mounts, "deploy": {"update_config": {}, **deploy}}

    place = {"constraints": ["node.labels.provision.member == 2"]}
    document = {
        "services": {
            "consul": body("/var/lib/consul", mode="global"),
            "mariadb-2": body("/var/lib/mysql", placement=place),
            "ovn-3": body("/var/lib/ovn"),
            "memcached": {"volumes": [], "deploy": {}},
            "registry": body("/var/lib/registry"),
            "glance": body("/var/lib/glance"),
        }
    }
    found = clear_jobs(document, "image", images=False)
    assert set(found) == {"clear-consul", "clear-mariadb-2", "clear-ovn-3"}
    assert set(clear_jobs(document, "image", images=True)) - set(found) == {"clear-glance"}
    assert found["clear-consul"]["deploy"]["mode"] == "global-job"
    one = found["clear-mariadb-2"]
    assert (one["deploy"]["mode"], one["deploy"]["placement"]) == ("replicated-job", place)
    assert one["entrypoint"] == ["find", "/var/lib/mysql", "-mindepth", "1", "-delete"]
    assert [mount["source"] for mount in one["volumes"]] == ["v"]
