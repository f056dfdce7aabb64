"""A cloud on several hosts kept in a file: from whichever host has what it takes."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from provision.adapters import archive
from provision.base.errors import UsageError
from provision.base.progress import Silent
from provision.model.localcloud.backup import key_files, passwords_for_hosts
from provision.model.localcloud.doctor.observed import Unit
from provision.model.localcloud.settings import Settings
from provision.model.localcloud.swarm import Task
from provision.operations.localcloud.shared import backup as shared_backup
from provision.operations.localcloud.shared import installation
from provision.operations.localcloud.swarm import backup

from ..backup_world import DUMP, SERVES, FakeData

PASSWORDS = {"admin": "a", "keystone_fernet": "f", "keystone_credential": "c", "registry": "r"}
TASKS = (
    Task("mariadb-2", "host-2", "running", True, "c1"),
    Task("mariadb", "host-1", "running", True, "c2"),
    Task("mariadb-3", "host-3", "failed", False, "c3"),
    Task("glance", "host-1", "running", True, "c4"),
)
DATABASE = Unit("mariadb-2", "mariadb-2.1.x", "provision", "running", "r:1/provision/mariadb:ab", container="c1")
GLANCE = Unit("glance", "glance.1.x", "provision", "running", "r:1/provision/glance:ab@sha256:cd", container="c4")


@pytest.fixture(name="here")
def _here(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    installation.write_passwords(json.dumps(PASSWORDS))
    data = FakeData()
    data.galera = {"c1": SERVES}
    here = SimpleNamespace(data=data, units=(DATABASE,), wanted={"mariadb": 1}, file=tmp_path / "cloud.tar.gz")
    here.locks = []
    swarm = SimpleNamespace(
        desired_replicas=lambda: here.wanted,
        tasks=lambda: TASKS,
        state=lambda: ("active", True),
        host_id=lambda: "id2",
        take_lock=lambda: here.locks.append("taken") or "id2",
        drop_lock=here.locks.append,
    )
    monkeypatch.setattr(shared_backup, "ContainerData", lambda: data)
    monkeypatch.setattr(backup, "Engine", lambda: None)
    monkeypatch.setattr(backup, "Inspector", lambda: SimpleNamespace(replicas=lambda: here.units, units=tuple))
    monkeypatch.setattr(backup, "current_settings", lambda engine: Settings(ha=True, swarm=True))
    monkeypatch.setattr(backup, "swarm_adapter", lambda settings: swarm)
    return here


def kept(here, *, images=False):
    backup.backup(Silent(), here.file, images=images)
    assert archive.verified(here.file).inputs == {"nova": "n1", "keystone": "k1"}
    return {name: content.read() for name, content in archive.members(here.file)}


def test_a_backup_is_what_one_machine_can_restore_too(here):
    found = kept(here)
    del found["manifest.json"]
    assert found == {
        "databases.sql": DUMP,
        "keystone/fernet-keys/0": b"f",
        "keystone/fernet-keys/1": b"f",
        "keystone/credential-keys/0": b"c",
        "keystone/credential-keys/1": b"c",
        "passwords.json": json.dumps(PASSWORDS).encode(),
    }
    assert here.data.dumped[0] == "c1"
    assert here.locks == ["taken", "id2"]


def test_images_are_kept_where_they_are(here):
    with pytest.raises(UsageError, match="files of another host") as caught:
        kept(here, images=True)
    assert caught.value.hint == "Run the same command on host-1."
    assert not here.file.exists()
    here.units = (DATABASE, GLANCE)
    assert kept(here, images=True)["images/63c24d03-c96d"]


def test_without_a_member_it_is_said_who_has_one(here):
    here.units = (GLANCE,)
    with pytest.raises(UsageError, match="no member of MariaDB runs on this host") as caught:
        kept(here)
    assert caught.value.hint == "Run the same command on host-1 or host-2."
    here.wanted = {"registry": 1}
    with pytest.raises(UsageError, match="does not run"):
        kept(here)


def test_passwords_come_with_the_data_and_the_registrys_stays():
    files = {name: text.encode() for name, text in key_files(PASSWORDS).items()}
    files |= {
        "passwords.json": json.dumps({**PASSWORDS, "keystone_fernet": "never used"}).encode(),
        "keystone/fernet-keys/2": b"older\n",
        "keystone/fernet-keys/10": b"in use\n",
    }
    found = passwords_for_hosts(files, {"admin": "mine", "registry": "my own"})
    assert found == {"admin": "a", "keystone_fernet": "in use", "keystone_credential": "c", "registry": "my own"}
