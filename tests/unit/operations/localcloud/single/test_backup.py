"""A cloud kept in a file and put back: into nothing, over another, and never half without a word about it."""

from __future__ import annotations

import fcntl
import io
import json
import shutil
from types import SimpleNamespace

import pytest

from provision.adapters import archive
from provision.base import paths
from provision.base.errors import ProvisionError, UsageError
from provision.base.progress import Silent
from provision.model.localcloud.doctor.observed import Unit
from provision.model.localcloud.host import ServiceState
from provision.model.localcloud.settings import CLUSTERED, INFRASTRUCTURE, Settings, member_services
from provision.operations.localcloud.shared import installation as stack_config
from provision.operations.localcloud.shared import tls, watch
from provision.operations.localcloud.single import backup as workflow
from provision.operations.localcloud.single import members as stack_members

DUMP = b"CREATE DATABASE keystone;\n" * 50000
FILES = {
    "/var/lib/keystone/fernet-keys": {"0": b"f0", "1": b"f1"},
    "/var/lib/keystone/credential-keys": {"0": b"c0"},
    "/var/lib/nova/compute_id": {"compute_id": b"3e39b057"},
    "/var/lib/glance/images": {"63c24d03-c96d": b"qcow" * 1000, ".upload.part": b"x"},
}
PASSWORDS = json.dumps({"admin": "kept"})
AUTHORITY = {"ca.pem": "the authority", "ca.key": "its key"}
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
    """The containers' data: what is asked of it, put into it and loaded."""

    def __init__(self):
        self.galera = {"provision-mariadb-1": SERVES}
        self.inputs = [["nova", "n1"], ["keystone", "k1"]]
        self.dumped, self.loaded, self.put_in, self.removed = None, None, {}, []
        self.there = []
        self.broken = False
        self.behind = {}
        self.asked = []

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
    """Consul: what has been started serves."""

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
def _cloud(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    stack_config.write_passwords(PASSWORDS)
    tls.write_authority(AUTHORITY)
    data, log = FakeData(), []
    cloud = SimpleNamespace(data=data, log=log, units=UNITS, states=[], inputs={"nova": "n1", "keystone": "k1"})
    cloud.installation = installation = SimpleNamespace(
        settings=Settings(),
        passwords={},
        control=FakeProject("provision", log),
        hypervisors=(FakeProject("provision-compute-1", log),),
        inputs=cloud.inputs,
    )
    engine = SimpleNamespace(states=lambda: cloud.states, ensure_bridge=lambda bridge: True)
    monkeypatch.setattr(workflow, "ContainerData", lambda: data)
    monkeypatch.setattr(workflow, "Inspector", lambda: SimpleNamespace(units=lambda: cloud.units))
    monkeypatch.setattr(workflow, "Engine", lambda: engine)
    monkeypatch.setattr(workflow, "ensure_images", lambda engine, progress, names: log.append(("images",)) or {})
    monkeypatch.setattr(workflow, "stop_stack", lambda progress, purge: log.append(("stop", purge)))
    monkeypatch.setattr(workflow.preflight, "require", lambda progress: None)
    monkeypatch.setattr(workflow.compose, "require", lambda: None)
    monkeypatch.setattr(workflow.stack_config, "ensure_files", lambda tags: log.append(("files",)) or installation)
    monkeypatch.setattr(watch.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(stack_members, "Catalogue", lambda url: FakeKeys(log))
    monkeypatch.setattr(stack_members, "ensure_access", lambda url, passwords: log.append(("access",)) or "")
    cloud.file = tmp_path / "cloud.tar.gz"
    return cloud


def kept(cloud, *, images=False):
    workflow.backup(Silent(), cloud.file, images=images)
    return {name: content.read() for name, content in archive.members(cloud.file)}


def never():
    raise AssertionError("nothing is there to be sure about")


def test_a_backup_holds_what_the_databases_need(cloud):
    found = kept(cloud)
    manifest = archive.verified(cloud.file)
    del found["manifest.json"]
    assert found == {
        "databases.sql": DUMP,
        "keystone/fernet-keys/0": b"f0",
        "keystone/fernet-keys/1": b"f1",
        "keystone/credential-keys/0": b"c0",
        "hypervisors/compute-1/compute_id": b"3e39b057",
        "passwords.json": PASSWORDS.encode(),
        "tls/ca.pem": b"the authority",
        "tls/ca.key": b"its key",
    }
    assert manifest.inputs == {"nova": "n1", "keystone": "k1"}
    # Every database but the server's own; ours last, for it says what is migrated.
    assert cloud.data.dumped == ("provision-mariadb-1", ["keystone", "nova", "provision"])


def test_images_are_kept_when_asked_for(cloud):
    found = kept(cloud, images=True)
    assert found["images/63c24d03-c96d"] == b"qcow" * 1000
    assert not any("part" in name for name in found)


def serves(**but):
    return SERVES | {f"wsrep_{name}": value for name, value in but.items()}


JOINS = serves(local_state_comment="Joined", ready="OFF")


@pytest.mark.parametrize(
    ("members", "chosen"),
    [
        ([None, SERVES], 2),
        ([JOINS, SERVES], 2),
        # Thrown out by the others: it still has data, of yesterday.
        ([serves(cluster_status="Disconnected", ready="OFF"), serves(local_state_comment="Donor/Desynced")], 2),
        ([{"wsrep_provider_name": "", "wsrep_cluster_status": "Disconnected"}], 1),
    ],
)
def test_a_member_that_serves_is_dumped(cloud, members, chosen):
    cloud.data.galera = {f"provision-mariadb-{number}": known for number, known in enumerate(members, 1)}
    cloud.units = (*UNITS, *(unit("mariadb-2", "mariadb-2", family="mariadb") for _ in members[1:]))
    kept(cloud)
    dumped, _ = cloud.data.dumped
    assert dumped == f"provision-mariadb-{chosen}"
    # It is asked for something first, which waits until it has all that anybody was told is committed.
    assert cloud.data.asked[-2] == (dumped, workflow.MIGRATED)


@pytest.mark.parametrize(("known", "problem"), [(None, "no answer"), (JOINS, "mariadb-1 is not in step")])
def test_without_a_database_in_step_there_is_no_backup(cloud, known, problem):
    cloud.data.galera = {"provision-mariadb-1": known}
    with pytest.raises(ProvisionError, match=problem):
        kept(cloud)
    assert not cloud.file.exists()


def test_half_a_cloud_is_not_kept(cloud):
    stack_config.begin_restoring(cloud.file)
    with pytest.raises(UsageError, match="not whole"):
        kept(cloud)
    assert not cloud.file.exists()


def test_no_other_command_changes_the_cloud_meanwhile(cloud, monkeypatch):
    held = []

    def look(inner):
        def looked(*args):
            with (paths.localcloud_dir() / "lock").open() as handle:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    held.append(inner.__name__)
            return inner(*args)

        return looked

    for name in ("dump", "load"):
        monkeypatch.setattr(cloud.data, name, look(getattr(cloud.data, name)))
    kept(cloud)
    workflow.restore(Silent(), cloud.file, lambda: None)
    assert held == ["dump", "load"]


def test_a_dump_that_breaks_off_leaves_no_file(cloud):
    cloud.data.broken = True
    with pytest.raises(ProvisionError, match="ended with code 2"):
        kept(cloud)
    assert [path.name for path in cloud.file.parent.iterdir()] == ["state"]


def test_no_cloud_no_keys_and_a_name_that_is_taken(cloud, monkeypatch):
    monkeypatch.setitem(FILES, "/var/lib/keystone/credential-keys", {})
    with pytest.raises(ProvisionError, match="no credential-keys"):
        kept(cloud)
    cloud.units = ()
    with pytest.raises(UsageError, match="no local cloud"):
        kept(cloud)
    cloud.file.write_text("x")
    with pytest.raises(UsageError, match="exists"):
        kept(cloud)


def test_it_is_restored_into_nothing(cloud):
    kept(cloud, images=True)
    shutil.rmtree(paths.localcloud_dir())
    progress = Notes()
    workflow.restore(progress, cloud.file, never)
    assert stack_config.read_passwords() == {"admin": "kept"}
    assert tls.authority_files() == AUTHORITY
    assert cloud.data.loaded == DUMP
    assert cloud.data.put_in == {
        ("provision-keystone-migrate-1", "/var/lib/keystone/fernet-keys/0", "keystone"): b"f0",
        ("provision-keystone-migrate-1", "/var/lib/keystone/fernet-keys/1", "keystone"): b"f1",
        ("provision-keystone-migrate-1", "/var/lib/keystone/credential-keys/0", "keystone"): b"c0",
        ("provision-compute-1-nova-compute-1", "/var/lib/nova/compute_id", "root"): b"3e39b057",
        ("provision-glance-migrate-1", "/var/lib/glance/images/63c24d03-c96d", "glance"): b"qcow" * 1000,
    }
    assert {"provision-keystone-migrate-1", "provision-glance-migrate-1"} <= set(cloud.data.removed)
    assert progress.notes == ["The data is back. `provision cloud up` starts the cloud with it."]
    stack_config.require_whole_data()


def test_another_cloud_is_replaced_only_when_that_is_sure(cloud):
    kept(cloud)
    asked = []

    def unsure():
        asked.append(list(cloud.log))
        raise UsageError("say so with --yes")

    with pytest.raises(UsageError, match="--yes"):
        workflow.restore(Silent(), cloud.file, unsure)
    assert asked == [[]]
    assert cloud.log == cloud.data.removed == []
    assert cloud.data.loaded is None


@pytest.mark.parametrize("there", ["passwords", "volumes", "containers"])
def test_whatever_is_left_of_a_cloud_is_worth_the_question(cloud, there):
    kept(cloud)
    if there != "passwords":
        (paths.localcloud_dir() / "passwords.json").unlink()
    cloud.data.there = ["provision_mariadb"] if there == "volumes" else []
    cloud.states = [ServiceState("mariadb", "provision-mariadb-1", "running")] if there == "containers" else []
    asked = []
    workflow.restore(Silent(), cloud.file, lambda: asked.append(1))
    assert asked == [1]


@pytest.mark.parametrize("images", [False, True])
def test_what_is_not_in_the_backup_goes_but_guests_disks_and_images_that_are_not_in_it(cloud, images):
    kept(cloud, images=images)
    old = {f"provision_{name}" for name in ("consul", "mariadb", "mariadb-2", "mariadb-3", "ovn", "rabbitmq-2")}
    cloud.data.there = ["provision-compute-1_nova", "provision_glance", *old]
    workflow.restore(Silent(), cloud.file, lambda: None)
    assert {name for name in cloud.data.removed if "_" in name} == old | ({"provision_glance"} if images else set())


def test_an_authority_that_is_not_in_the_backup_stays(cloud):
    (paths.localcloud_dir() / "tls" / "ca.key").unlink()
    assert not any(name.startswith("tls/") for name in kept(cloud))
    other = {"ca.pem": "another", "ca.key": "another key"}
    tls.write_authority(other)
    workflow.restore(Silent(), cloud.file, lambda: None)
    assert tls.authority_files() == other


def test_the_order_in_which_a_restore_changes_things(cloud):
    kept(cloud)
    workflow.restore(Silent(), cloud.file, lambda: None)
    assert [step[0] for step in cloud.log] == ["images", "stop", "files", "up", "access", "create", "create"]
    assert cloud.log[1] == ("stop", False)
    assert cloud.log[3] == ("up", "provision", INFRASTRUCTURE)


def test_what_is_not_restored_is_gone_before_anything_starts(cloud):
    kept(cloud)
    cloud.data.there = ["provision_mariadb-3"]
    cloud.installation.control.up = lambda services: gone.append(list(cloud.data.removed))
    gone = []
    workflow.restore(Silent(), cloud.file, lambda: None)
    assert gone == [["provision_mariadb-3"]]


def test_three_members_are_restored_and_each_has_all_of_it(cloud):
    kept(cloud)
    cloud.installation.settings = settings = Settings(ha=True)
    cloud.data.galera = dict.fromkeys(("provision-mariadb-1", "provision-mariadb-2-1", "provision-mariadb-3-1"), SERVES)
    cloud.data.behind = {"provision-mariadb-3-1": 2}
    workflow.restore(Silent(), cloud.file, lambda: None)
    ups = [services for word, _, services in (step for step in cloud.log if step[0] == "up")]
    assert set(ups[0]) == {*INFRASTRUCTURE} - {*CLUSTERED}
    assert ups[-1] == (*CLUSTERED, *member_services(settings))
    assert cloud.log.index(("access",)) < cloud.log.index(("up", "provision", ups[-1]))
    assert cloud.data.loaded == DUMP
    # Loaded once, into one; then each was asked until it had what came last.
    assert cloud.data.behind == {"provision-mariadb-3-1": 0}
    stack_config.require_whole_data()


def test_a_member_that_never_gets_what_was_loaded_ends_the_restore(cloud, monkeypatch):
    kept(cloud)
    monkeypatch.setattr(watch, "_LIMIT", 0)
    cloud.data.behind = {"provision-mariadb-1": 99}
    with pytest.raises(ProvisionError, match="still lacks: mariadb"):
        workflow.restore(Silent(), cloud.file, lambda: None)
    with pytest.raises(UsageError, match="was broken off"):
        stack_config.require_whole_data()


def test_a_file_that_is_damaged_changes_nothing(cloud):
    kept(cloud)
    cloud.file.write_bytes(cloud.file.read_bytes()[:-20])
    with pytest.raises(UsageError, match="no backup that can be restored"):
        workflow.restore(Silent(), cloud.file, never)
    assert cloud.log == cloud.data.removed == []


def test_a_restore_that_breaks_off_keeps_the_cloud_from_starting_until_it_is_done(cloud):
    kept(cloud)
    cloud.data.broken = True
    with pytest.raises(ProvisionError, match="died"):
        workflow.restore(Silent(), cloud.file, lambda: None)
    with pytest.raises(UsageError, match="was broken off") as caught:
        stack_config.require_whole_data()
    assert f"`provision cloud restore {cloud.file}` again" in caught.value.hint
    cloud.data.broken = False
    workflow.restore(Silent(), cloud.file, lambda: None)
    stack_config.require_whole_data()


def test_what_is_left_to_do_is_said(cloud):
    kept(cloud)
    cloud.inputs["nova"] = "n2"
    progress = Notes()
    workflow.restore(progress, cloud.file, lambda: None)
    first, second = progress.notes
    assert first.endswith("It first migrates what this backup has of an older version: nova.")
    assert "these images are empty: golden." in second


def test_a_database_that_never_answers_ends_the_restore(cloud, monkeypatch):
    kept(cloud)
    cloud.data.galera = {"provision-mariadb-1": None}
    monkeypatch.setattr(watch, "_LIMIT", 0)
    with pytest.raises(ProvisionError, match=r"still lacks: the database \(no answer\)"):
        workflow.restore(Silent(), cloud.file, lambda: None)
