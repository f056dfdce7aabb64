"""What backups on one host and on several have in common: which database is read, and how files are read again."""

from __future__ import annotations

import pytest

from provision.base.errors import ProvisionError, UsageError
from provision.base.progress import Silent
from provision.model.localcloud.backup import IMAGES, KEYS
from provision.operations.localcloud.shared import backup

from ..backup_world import DUMP, JOINS, SERVES, UNITS, FakeData, kept, make_cloud, serves, unit  # noqa: F401


@pytest.mark.parametrize(
    ("units", "status", "expected"),
    [
        ([unit("mariadb")], [SERVES], "provision-mariadb-1"),
        ([unit("mariadb"), unit("mariadb-2", family="mariadb")], [JOINS, SERVES], "provision-mariadb-2-1"),
        ([unit("mariadb"), unit("mariadb-2", family="mariadb")], [None, SERVES], "provision-mariadb-2-1"),
        ([unit("mariadb")], [{"wsrep_provider_name": ""}], "provision-mariadb-1"),
        ([unit("mariadb", state="exited")], [SERVES], "no database runs"),
        ([unit("glance")], [SERVES], "no database runs"),
        ([unit("mariadb")], [JOINS], "mariadb-1 is not in step"),
        ([unit("mariadb")], [None], "no answer"),
    ],
)
def test_a_database_that_serves_is_chosen(units, status, expected):
    data = FakeData()
    data.galera = dict(zip((each.known_as for each in units), status, strict=False))
    if expected.startswith("provision-"):
        assert backup.serving_database(data, tuple(units)) == expected
    else:
        with pytest.raises(ProvisionError, match=expected):
            backup.serving_database(data, tuple(units))


def test_a_service_without_a_container_is_an_error():
    assert backup.container_of(UNITS, "glance") == "provision-glance-1"
    with pytest.raises(ProvisionError, match="horizon has no container"):
        backup.container_of(UNITS, "horizon")


def test_a_file_is_read_again_in_its_parts(cloud):
    kept(cloud, images=True)
    manifest = backup.verify(Silent(), cloud.file)
    small = backup.read_small_files(cloud.file)
    assert backup.files_below(small, KEYS) == {
        "fernet-keys/0": "f0", "fernet-keys/1": "f1", "credential-keys/0": "c0",
    }  # fmt: skip
    assert not any(name.startswith(IMAGES) or name == "databases.sql" for name in small)
    data = FakeData()
    backup.load_databases(data, "target", cloud.file, manifest)
    assert data.loaded == DUMP
    backup.put_images(data, "holder", cloud.file, manifest, Silent())
    assert list(data.put_in) == [("holder", "/var/lib/glance/images/63c24d03-c96d", "glance")]


def test_a_damaged_file_is_bad_usage(cloud):
    kept(cloud)
    cloud.file.write_bytes(cloud.file.read_bytes()[:-20])
    with pytest.raises(UsageError, match="no backup that can be restored"):
        backup.verify(Silent(), cloud.file)


def test_a_file_of_a_newer_version_is_bad_usage(cloud, monkeypatch):
    kept(cloud)
    monkeypatch.setattr(backup, "__version__", "0.1.0")
    with pytest.raises(UsageError, match=r"this one is 0\.1\.0") as caught:
        backup.verify(Silent(), cloud.file)
    assert "Nothing was changed" in caught.value.hint


@pytest.mark.parametrize(
    ("made_by", "newer"),
    [
        ("0.2.0", True),
        ("0.2.0.dev0", False),
        ("0.1.0", False),
        ("0.10.0.dev0", True),
        ("0.2.0.dev1", True),
        ("of no form", False),
    ],
)
def test_a_backup_is_newer_by_its_version(made_by, newer):
    assert backup.is_newer(made_by, "0.2.0.dev0") == newer
