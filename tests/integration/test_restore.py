"""A cloud's data kept while three members have it, put back over three that went on, and into an empty installation.

The operations are the real ones, and so is what they start: Consul with its rules, the Registrator, HAProxy, MariaDB,
RabbitMQ, memcached. Keystone's and Glance's containers only have their data, and sleep.
"""

from __future__ import annotations

import json

import docker
import pytest

from provision.adapters.docker.compose import Compose
from provision.adapters.docker.data import ContainerData, Place
from provision.adapters.docker.engine import Engine
from provision.base import paths
from provision.base.progress import Silent
from provision.model.galera.status import STATUS_QUERY, read_status
from provision.model.localcloud.image_families import image_tags
from provision.operations.localcloud.shared import installation, tls
from provision.operations.localcloud.shared.images import contexts
from provision.operations.localcloud.shared.watch import Watch
from provision.operations.localcloud.single import backup, down, members, restore

from .members import DATABASES, LIMIT, Members, rename
from .world import until

# Four minutes, for what changes seldom.
pytestmark = [pytest.mark.integration, pytest.mark.acceptance]

SLEEPERS = ("keystone", "keystone-migrate", "glance", "glance-migrate", "ovn", "restart-hypervisor")
TABLES = """
CREATE TABLE nova.pairs (id INT PRIMARY KEY, word VARCHAR(99));
CREATE TABLE glance.images (name VARCHAR(9), deleted INT, status VARCHAR(9));
INSERT INTO glance.images VALUES ('golden', 0, 'active');
INSERT INTO provision.migrated VALUES ('nova', 'n1');
"""
KEYS = {"fernet-keys/0": b"f0", "fernet-keys/1": b"f1", "credential-keys/0": b"c0"}
IMAGE = b"qcow" * 100_000


class Cloud(Members):
    """An installation of its own, for the operations: its project, its labels, its files."""

    def __init__(self, folder, monkeypatch, *, ha):
        super().__init__(folder, ha=ha)
        self.tags = image_tags(contexts())
        self.sleeper = f"{self.run}:sleeper"
        users = f"FROM {self.images['mariadb']}\nRUN useradd -r keystone && useradd -r glance\n"
        Engine().build(self.sleeper, {"Dockerfile": users.encode()}, arguments={}, labels={}, line=print)
        (folder / "override.json").write_text(json.dumps(self._with_sleepers()))
        rename(monkeypatch, self.run)
        monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
        compose = Compose(self.run, self.compose.files, paths.localcloud_dir() / "compose.env", {})
        for module in (installation, down, members):
            monkeypatch.setattr(module, "control", lambda: compose)
            monkeypatch.setattr(module, "load_settings", lambda: self.settings, raising=False)
        # Neither guests nor what they need are any part of this.
        monkeypatch.setattr(installation, "hypervisors", lambda settings: ())
        monkeypatch.setattr(down, "hypervisors", lambda settings: ())
        monkeypatch.setattr(down, "bridges", lambda settings: ())
        monkeypatch.setattr(restore, "bridges", lambda settings: ())
        monkeypatch.setattr(restore, "ensure_images", lambda engine, progress, names: self.tags)
        monkeypatch.setattr(restore.preflight, "require", lambda progress: None)

    def _with_sleepers(self):
        known = json.loads((self.folder / "override.json").read_text())
        for name in SLEEPERS:
            known["services"][name] |= {"image": self.sleeper, "entrypoint": ["sleep"], "command": ["infinity"]}
        return known

    def start(self):
        """Do what `provision cloud up` begins with; then have data."""
        engine = Engine()
        current = installation.ensure_files(self.tags)
        self.passwords = installation.read_passwords()
        members.start_infrastructure(engine, current, Watch(engine, Silent()))
        current.control.up(["keystone", "glance"], no_deps=True)
        until(lambda: self.sql("mariadb", "SELECT 1 FROM provision.migrated") is not None, LIMIT, "its accounts")

    def fill(self):
        data = ContainerData()
        data.query(f"{self.run}-mariadb-1", TABLES)
        for name, text in KEYS.items():
            data.put(f"{self.run}-keystone-1", Place("/var/lib/keystone", name, "keystone"), [text], len(text))
        place = Place("/var/lib/glance", "images/63c24d03-c96d", "glance")
        data.put(f"{self.run}-glance-1", place, [IMAGE], len(IMAGE))

    def write(self, first, last):
        rows = ", ".join(f"({number}, 'it\\'s {number}')" for number in range(first, last))
        assert self.sql("mariadb", f"INSERT INTO nova.pairs VALUES {rows}") == []

    def rows(self, service="mariadb"):
        return self.sql(service, "SET wsrep_sync_wait=1; SELECT COUNT(*), MIN(id), MAX(id) FROM nova.pairs")

    def state(self, service="mariadb"):
        lines = self.sql(service, STATUS_QUERY) or ()
        return read_status(dict(line.partition("\t")[::2] for line in lines))

    def account(self):
        """Ask as Nova does: by name and password, over the network."""
        peer = "haproxy" if self.settings.ha else "mariadb"
        words = ["mariadb", "-NB", "--skip-ssl", f"-h{peer}.service.consul", "-unova", f"-p{self.passwords['nova_db']}"]
        return self.execute("mariadb", *words, "-e", "SELECT COUNT(*) FROM nova.pairs")

    def files(self):
        """Read what lies in Keystone's and Glance's volumes."""
        installation.control().up(["keystone", "glance"], no_deps=True)
        data, found = ContainerData(), {}
        for service, folder in (("keystone", "/var/lib/keystone"), ("glance", "/var/lib/glance")):
            for name, content, _ in data.files(f"{self.run}-{service}-1", folder):
                found[name] = content.read()
        return found

    def close(self):
        super().close()
        client = docker.from_env()
        client.images.remove(self.sleeper, force=True)
        client.close()


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    """Return what makes installations, one after the other."""
    made = []

    def make(name, *, ha):
        for each in made:
            each.close()
        made.clear()
        (tmp_path / name).mkdir()
        made.append(Cloud(tmp_path / name, monkeypatch, ha=ha))
        return made[-1]

    try:
        yield make
    finally:
        for each in made:
            each.close()


def test_what_three_members_had_comes_back_on_three_and_on_one(cloud, tmp_path):
    three = cloud("three", ha=True)
    three.start()
    three.fill()
    three.write(0, 1000)
    file = tmp_path / "cloud.tar.gz"
    assert backup.backup(Silent(), file, images=True).images
    authority, passwords = tls.authority_files(), three.passwords
    # What comes later is in no backup; one member misses it, and has a history that must not come back either.
    three.container("mariadb-3").kill()
    until(lambda: three.state().size == 2, LIMIT, "the others")
    three.write(1000, 1500)
    old = three.state().cluster
    restore.restore(Silent(), file, lambda: None)
    for name in DATABASES:
        assert three.rows(name) == ["1000\t0\t999"], name
    assert {three.state(name).cluster for name in DATABASES} == {three.state().cluster} != {old}
    until(lambda: three.account() == (0, "1000\n"), LIMIT, three.account)
    assert three.files() == {**KEYS, "images/63c24d03-c96d": IMAGE}
    installation.require_complete_data()
    # There is one history: whoever starts first after a power cut starts this one.
    three.crash(*DATABASES)
    three.await_databases()
    for name in DATABASES:
        assert three.rows(name) == ["1000\t0\t999"], name
    three.write(1000, 1001)

    one = cloud("one", ha=False)
    restore.restore(Silent(), file, lambda: pytest.fail("there is nothing here to be sure about"))
    one.passwords = installation.read_passwords()
    assert one.passwords == passwords
    assert tls.authority_files() == authority
    assert one.rows() == ["1000\t0\t999"]
    assert one.state().size == 1
    until(lambda: one.account() == (0, "1000\n"), LIMIT, one.account)
    assert one.files() == {**KEYS, "images/63c24d03-c96d": IMAGE}
    assert one.sql("mariadb", "SELECT family, inputs FROM provision.migrated") == ["nova\tn1"]


def test_what_one_had_is_restored_by_three_members(cloud, tmp_path):
    one = cloud("one", ha=False)
    one.start()
    one.fill()
    one.write(0, 10)
    file = tmp_path / "cloud.tar.gz"
    assert not backup.backup(Silent(), file, images=False).images
    three = cloud("three", ha=True)
    restore.restore(Silent(), file, lambda: pytest.fail("there is nothing here to be sure about"))
    three.passwords = installation.read_passwords()
    for name in DATABASES:
        assert three.rows(name) == ["10\t0\t9"], name
    assert three.state().size == 3
    until(lambda: three.account() == (0, "10\n"), LIMIT, three.account)
    assert three.files() == KEYS
