"""The data of a fake local cloud, and one host that has it: what is written into a backup and restored."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from provision.adapters import archive
from provision.adapters.host.certificates import ensure_certificate
from provision.base.errors import ProvisionError
from provision.base.progress import Silent
from provision.model.localcloud.backup import AUTHORITY_FILES
from provision.model.localcloud.doctor.observed import Unit
from provision.model.localcloud.settings import Settings
from provision.operations.localcloud.shared import backup as shared_backup
from provision.operations.localcloud.shared import installation, tls
from provision.operations.localcloud.single import backup, members, restore

from .fake_clock import use_clock

DUMP = b"CREATE DATABASE keystone;\n" * 50000
FILES = {
    "/var/lib/keystone/fernet-keys": {"0": b"f0", "1": b"f1"},
    "/var/lib/keystone/credential-keys": {"0": b"c0"},
    "/var/lib/nova/compute_id": {"compute_id": b"3e39b057"},
    "/var/lib/glance/images": {"63c24d03-c96d": b"qcow" * 1000, ".upload.part": b"x"},
}
PASSWORDS = json.dumps({"admin": "kept"})


def make_authority():
    """Make an authority; return its files."""
    with tempfile.TemporaryDirectory() as folder:
        ensure_certificate(Path(folder), "any", "test", ("localhost",), ())
        return {name: Path(folder, name).read_text() for name in AUTHORITY_FILES}


AUTHORITY = make_authority()
VM, OTHER_VM = "0d6c4eb1-53a5-4b8e-9f0e-5f3a1d1a7a11", "7b1f2c9e-8f43-4f1c-a1d4-0c9a6f5e2b22"
SERVES = {
    "wsrep_provider_name": "Galera",
    "wsrep_cluster_status": "Primary",
    "wsrep_ready": "ON",
    "wsrep_local_state_comment": "Synced",
}


def unit(service, name="", family="", **more):
    more = {"project": "provision", "state": "running", **more}
    return Unit(service, name or f"{service}-1", image=f"provision/{family or service}:new", **more)


UNITS = (
    unit("glance"),
    unit("keystone", state="exited"),
    unit("mariadb"),
    unit("nova-compute", "compute-1-nova-compute-1", "compute", project="provision-compute-1", hypervisor="compute-1"),
)


class FakeData:
    """The containers' data: what is read from it, put into it and loaded."""

    def __init__(self):
        self.galera = {"provision-mariadb-1": SERVES}
        self.inputs = [["nova", "n1"], ["keystone", "k1"]]
        self.dumped, self.loaded, self.put_in, self.removed = None, None, {}, []
        self.there = []
        self.broken = False
        self.behind = {}
        self.asked = []
        self.disks = []

    def query(self, container, sql):
        self.asked.append((container, sql))
        known = self.galera[container]
        if known is None:
            raise ProvisionError("no answer", detail="refused")
        if "wsrep\\_%" in sql:
            return [list(pair) for pair in known.items()]
        if "DATABASES" in sql:
            names = ("sys", "provision", "nova", "mysql", "keystone", "information_schema", "performance_schema")
            return [[name] for name in names]
        if "glance.images" in sql:
            return [["golden"]]
        if "nova.instances" in sql:
            return [[VM]]
        assert sql.startswith("SET wsrep_sync_wait=1;")
        if self.loaded and self.behind.get(container):
            self.behind[container] -= 1
            return []
        return self.inputs

    def dump(self, container, databases):
        self.dumped = (container, list(databases))
        yield DUMP[:1000]
        if self.broken:
            raise ProvisionError("mariadb-dump ended with code 2")
        yield DUMP[1000:]

    def load(self, container, sql, size):
        self.loaded = b"".join(sql)
        assert len(self.loaded) == size
        if self.broken:
            raise ProvisionError("the database died")

    def files(self, container, folder):
        for name, content in FILES.get(folder, {}).items():
            yield name, io.BytesIO(content), len(content)

    def put(self, container, place, content, size):
        data = b"".join(content)
        assert len(data) == size
        self.put_in[(container, f"{place.folder}/{place.name}", place.user)] = data

    def entries(self, image, volume, mount, folder):
        assert (image, volume, mount) == ("provision/compute:new", "provision-compute-1_nova", "/var/lib/nova")
        assert folder == "/var/lib/nova/instances"
        return self.disks

    def volumes(self):
        return self.there

    def remove_volume(self, name):
        self.removed.append(name)

    def remove(self, container):
        self.removed.append(container)


class FakeProject:
    def __init__(self, project, log):
        self.project, self._log = project, log

    def up(self, services=()):
        self._log.append(("up", self.project, tuple(services)))

    def create(self, services):
        self._log.append(("create", self.project, tuple(services)))


class FakeKeys:
    """Consul: what was started serves."""

    def __init__(self, log):
        self._log = log

    def containers(self, service):
        return {name for step in self._log if step[0] == "up" for name in step[2] if name.startswith(service)}


class Notes(Silent):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(name="cloud")
def make_cloud(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    installation.write_passwords(PASSWORDS)
    tls.write_authority(AUTHORITY)
    data, log = FakeData(), []
    cloud = SimpleNamespace(data=data, log=log, units=UNITS, states=[], inputs={"nova": "n1", "keystone": "k1"})
    cloud.installation = SimpleNamespace(
        settings=Settings(),
        passwords={},
        control=FakeProject("provision", log),
        hypervisors=(FakeProject("provision-compute-1", log),),
        inputs=cloud.inputs,
    )
    engine = SimpleNamespace(
        states=lambda: cloud.states,
        ensure_bridge=lambda bridge: True,
        stop_and_remove=data.removed.append,
    )
    for module in (shared_backup, restore):
        monkeypatch.setattr(module, "ContainerData", lambda: data)
    for module in (backup, restore):
        monkeypatch.setattr(module, "Inspector", lambda: SimpleNamespace(units=lambda: cloud.units))
    monkeypatch.setattr(restore, "Engine", lambda: engine)
    tags = {"compute": "new"}
    monkeypatch.setattr(restore, "ensure_images", lambda engine, progress, names: log.append(("images",)) or tags)
    monkeypatch.setattr(restore, "down", lambda progress, purge: log.append(("down", purge)))
    monkeypatch.setattr(restore.preflight, "require", lambda progress: None)
    monkeypatch.setattr(restore.compose, "require", lambda: None)
    monkeypatch.setattr(restore, "ensure_files", lambda tags: log.append(("files",)) or cloud.installation)
    monkeypatch.setattr(members, "Catalogue", lambda url: FakeKeys(log))
    monkeypatch.setattr(members, "ensure_access", lambda url, passwords: log.append(("access",)))
    use_clock(monkeypatch)
    cloud.file = tmp_path / "cloud.tar.gz"
    return cloud


def kept(cloud, *, images=False):
    """Back the cloud up; return the files of the backup."""
    backup.backup(Silent(), cloud.file, images=images)
    return {name: content.read() for name, content in archive.members(cloud.file)}


def serves(**but):
    """Return what a member of MariaDB says that serves, but for some values."""
    return SERVES | {f"wsrep_{name}": value for name, value in but.items()}


JOINS = serves(local_state_comment="Joined", ready="OFF")
