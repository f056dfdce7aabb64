"""`provision cloud backup` on one host: what the file holds, and when there is none."""

from __future__ import annotations

import fcntl

import pytest

from provision.adapters import archive
from provision.base import paths
from provision.base.errors import ProvisionError, UsageError
from provision.base.progress import Silent
from provision.operations.localcloud.shared import installation
from provision.operations.localcloud.shared.schema import MIGRATED
from provision.operations.localcloud.single import restore

from ..backup_world import (  # noqa: F401
    AUTHORITY,
    DUMP,
    FILES,
    JOINS,
    PASSWORDS,
    SERVES,
    UNITS,
    kept,
    make_cloud,
    serves,
    unit,
)


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
        **{f"tls/{name}": text.encode() for name, text in AUTHORITY.items()},
    }
    assert manifest.inputs == {"nova": "n1", "keystone": "k1"}
    # Every database but the server's own; ours last, for it says what is migrated.
    assert cloud.data.dumped == ("provision-mariadb-1", ["keystone", "nova", "provision"])


def test_images_are_kept_when_asked_for(cloud):
    found = kept(cloud, images=True)
    assert found["images/63c24d03-c96d"] == b"qcow" * 1000
    assert not any("part" in name for name in found)


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
    assert cloud.data.asked[-2] == (dumped, MIGRATED)


@pytest.mark.parametrize(("known", "problem"), [(None, "no answer"), (JOINS, "mariadb-1 is not in step")])
def test_without_a_database_in_step_there_is_no_backup(cloud, known, problem):
    cloud.data.galera = {"provision-mariadb-1": known}
    with pytest.raises(ProvisionError, match=problem):
        kept(cloud)
    assert not cloud.file.exists()


def test_half_a_cloud_is_not_kept(cloud):
    installation.begin_restoring(cloud.file)
    with pytest.raises(UsageError, match="is incomplete"):
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
    restore.restore(Silent(), cloud.file, lambda: None)
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
