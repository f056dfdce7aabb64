"""A backup's list of files: what has a place in it, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from provision.base.errors import UsageError
from provision.model.localcloud import backup
from provision.model.localcloud.backup import ArchiveEntry, Manifest

ENTRY = ArchiveEntry(3, "aa")
FILES = dict.fromkeys(("passwords.json", "databases.sql", "keystone/fernet-keys/0", "images/63c24d03-c96d"), ENTRY)
MANIFEST = Manifest("2026-03-01T12:00:00+00:00", "0.2.0", {"nova": "n1", "glance": "g1"}, FILES)


def test_a_list_is_read_back_as_it_was_written():
    assert backup.read_manifest(MANIFEST.text().encode()) == MANIFEST
    assert backup.verify(MANIFEST, FILES) is MANIFEST
    assert MANIFEST.images
    assert not replace(MANIFEST, files={"databases.sql": ENTRY}).images


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff", b'{"format": 1}', b'{"format": 1, "files": []}'])
def test_a_list_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="list of files cannot be read"):
        backup.read_manifest(text)


def test_a_list_of_another_format_is_refused_with_the_version_that_can():
    text = json.dumps({**json.loads(MANIFEST.text()), "format": 3, "version": "9.0"}).encode()
    with pytest.raises(UsageError, match="it is of format 3") as caught:
        backup.read_manifest(text)
    assert "9.0" in caught.value.hint


def test_an_older_format_is_read():
    text = json.dumps({**json.loads(MANIFEST.text()), "format": 1}).encode()
    assert backup.read_manifest(text) == MANIFEST


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ({**FILES, "databases.sql": ArchiveEntry(3, "bb")}, "databases.sql in it has changed"),
        ({**FILES, "databases.sql": ArchiveEntry(2, "aa")}, "databases.sql in it has changed"),
        ({name: entry for name, entry in FILES.items() if name != "passwords.json"}, "passwords.json is missing"),
        ({**FILES, "keystone/fernet-keys/7": ENTRY}, "keystone/fernet-keys/7 in it was not written"),
    ],
)
def test_a_file_that_differs_from_its_list_is_refused(found, problem):
    with pytest.raises(UsageError, match=problem):
        backup.verify(MANIFEST, found)


@pytest.mark.parametrize(
    "name",
    [
        "../etc/passwd",
        "/etc/passwd",
        "keystone/fernet-keys/../../x",
        "keystone/other/0",
        "keystone/fernet-keys/0/1",
        "hypervisors/../compute_id",
        "images/a/b",
        "images/..",
        "etc/nova.conf",
        "tls/ca",
        "tls/caxpem",
        "tls/api.key",
        "passwordsxjson",
    ],
)
def test_a_list_cannot_name_places_outside(name):
    assert not backup.belongs(name)
    files = {**FILES, name: ENTRY}
    with pytest.raises(UsageError, match="does not belong in a backup"):
        backup.verify(replace(MANIFEST, files=files), files)


@pytest.mark.parametrize(
    "name", [*FILES, "hypervisors/compute-1/compute_id", "keystone/credential-keys/12", "tls/ca.key"]
)
def test_what_a_backup_consists_of_has_its_place(name):
    assert backup.belongs(name)


@pytest.mark.parametrize("name", ["passwords.json", "databases.sql"])
def test_no_backup_is_without_databases_and_passwords(name):
    files = {each: entry for each, entry in FILES.items() if each != name}
    with pytest.raises(UsageError, match=f"{name} is missing"):
        backup.verify(replace(MANIFEST, files=files), files)


def test_no_list_is_no_backup():
    with pytest.raises(UsageError, match="no list of files"):
        backup.verify(None, FILES)


def test_databases_of_other_images_have_to_be_migrated():
    assert backup.outdated(MANIFEST, {"nova": "n1", "glance": "g1"}) == []
    assert backup.outdated(MANIFEST, {"nova": "n2", "glance": "g1", "keystone": "k1"}) == ["keystone", "nova"]


def test_a_users_numbers():
    passwd = "root:x:0:0:root:/root:/bin/bash\nkeystone:x:101:102::/var/lib/keystone:/bin/false\n"
    assert backup.user_id(passwd, "keystone") == (101, 102)
    with pytest.raises(KeyError):
        backup.user_id(passwd, "key")
