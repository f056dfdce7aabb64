"""Databases dumped from a real server that is written to, loaded into another; files put where no program runs."""

from __future__ import annotations

import threading

import pytest

from provision.adapters import archive
from provision.adapters.docker.data import ContainerData, Place
from provision.adapters.docker.engine import Engine
from provision.base.errors import ProvisionError
from provision.base.progress import Silent
from provision.model.localcloud.backup import Manifest
from provision.model.localcloud.image_families import image_name
from provision.model.localcloud.render import documents
from provision.model.localcloud.settings import PASSWORDS, Settings
from provision.operations.localcloud.shared.images import ensure_images

from .world import until

pytestmark = pytest.mark.integration

TABLES = """
CREATE TABLE keystone.pairs (id INT PRIMARY KEY, data BLOB, word VARCHAR(99));
CREATE TABLE nova.pairs (id INT PRIMARY KEY);
"""
WORD = "it's a \\n Übung\t;--"
COUNTS = (
    "SELECT (SELECT COUNT(*) FROM keystone.pairs), (SELECT COUNT(*) FROM nova.pairs), "
    "(SELECT COUNT(*) FROM keystone.pairs JOIN nova.pairs USING (id)), "
    "(SELECT COUNT(*) FROM keystone.pairs WHERE data = X'00FF0A0D1A27' AND word = {word})"
)


def quoted(text):
    return "CONVERT(X'" + text.encode().hex() + "' USING utf8mb4)"


@pytest.fixture(scope="module", name="image")
def _image(world):
    tags = ensure_images(Engine(), Silent(), ("mariadb",))
    world.images["mariadb"] = image_name("mariadb", tags)
    folder = world.folder / "mariadb"
    folder.mkdir()
    for name, text in documents(Settings(), dict.fromkeys(PASSWORDS, "x")).items():
        if name.startswith("mariadb/"):
            (folder / name.rpartition("/")[2]).write_text(text)
    return {str(folder): {"bind": "/config", "mode": "ro"}}


def server(world, data, image, name):
    container = world.start(name, "mariadb", ["server"], volumes=image)

    def answers():
        try:
            return data.query(container.name, "SELECT COUNT(*) FROM provision.migrated")
        except ProvisionError:
            return None

    until(answers, 120, lambda: container.logs(tail=20).decode())
    return container.name


def test_a_dump_is_one_moment_of_all_databases_and_is_loaded_as_it_was(world, image, tmp_path):
    data = ContainerData()
    source, target = (server(world, data, image, name) for name in ("from", "into"))
    data.query(source, TABLES)
    data.query(target, "CREATE TABLE nova.old (id INT); INSERT INTO nova.old VALUES (1)")
    ended, written = threading.Event(), []

    def write():
        while not ended.is_set():
            id_ = len(written)
            data.query(
                source,
                f"START TRANSACTION; INSERT INTO keystone.pairs VALUES ({id_}, X'00FF0A0D1A27', {quoted(WORD)}); "
                f"INSERT INTO nova.pairs VALUES ({id_}); COMMIT",
            )
            written.append(id_)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        until(lambda: len(written) > 5, 60, "the writer")
        file = tmp_path / "cloud.tar.gz"
        with archive.writing(file) as backup:
            before = len(written)
            backup.add("databases.sql", data.dump(source, ["keystone", "nova", "provision"]))
            backup.add("passwords.json", [b"{}"])
            backup.finish(Manifest("now", "test", {}, dict(backup.files)))
    finally:
        ended.set()
        writer.join()
    manifest = archive.verified(file)
    for name, content in archive.members(file):
        if name == "databases.sql":
            data.load(target, archive.chunks(content), manifest.files[name].size)
    ((of_keystone, of_nova, pairs, right),) = data.query(target, COUNTS.format(word=quoted(WORD)))
    assert of_keystone == of_nova == pairs == right
    assert before <= int(pairs) <= len(written)
    # What was there before is gone, and the accounts still reach what came.
    assert data.query(target, "SHOW TABLES FROM nova") == [["pairs"]]
    code, output = world.docker.containers.get(target).exec_run(
        ["mariadb", "-NB", "-h127.0.0.1", "-unova", "-px", "-e", "SELECT COUNT(*) FROM nova.pairs"]
    )
    assert (code, output.decode().strip()) == (0, pairs)


def test_what_a_database_refuses_is_said_in_its_words(world, image):
    data = ContainerData()
    name = server(world, data, image, "refusing")
    with pytest.raises(ProvisionError) as caught:
        data.load(name, [b"CREATE DATABASE half;\nnonsense;\n"], 32)
    assert "near 'nonsense'" in caught.value.detail
    with pytest.raises(ProvisionError) as caught:
        list(data.dump(name, ["nosuch"]))
    assert "Unknown database 'nosuch'" in caught.value.detail
    code, _ = world.docker.containers.get(name).exec_run(["ls", "/run/restore.sql"])
    assert code != 0


def test_files_go_into_a_volume_though_nothing_runs_there(world, image):
    data = ContainerData()
    volume = world.docker.volumes.create(f"{world.run}-keys", labels={"test-run": world.run})
    mounts = {volume.name: {"bind": "/var/lib/keystone", "mode": "rw"}}
    made = world.docker.containers.create(
        world.images["mariadb"], ["server"], name=f"{world.run}-idle", labels={"test-run": world.run}, volumes=mounts
    )
    try:
        place = Place("/var/lib/keystone", "fernet-keys/0", "mysql")
        data.put(made.name, place, [b"first"], 5)
        data.put(made.name, place, [b"secret", b"!"], 7)
        found = {name: content.read() for name, content, _ in data.files(made.name, "/var/lib/keystone/fernet-keys")}
        assert found == {"0": b"secret!"}
        assert list(data.files(made.name, "/var/lib/keystone/nosuch")) == []
        with pytest.raises(ProvisionError, match="no user nobody-such"):
            data.put(made.name, Place("/run", "x", "nobody-such"), [b""], 0)
        reader = world.start(
            "reader",
            "mariadb",
            ["-c", "stat -c '%U %a' /var/lib/keystone/fernet-keys/0"],
            entrypoint=["sh"],
            volumes=mounts,
        )
        assert reader.wait()["StatusCode"] == 0
        assert reader.logs().decode().split() == ["mysql", "600"]
        reader.remove(force=True)
    finally:
        made.remove(force=True)
        volume.remove(force=True)
