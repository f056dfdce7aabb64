"""`provision cloud restore` on one host: into nothing, over another cloud, and never half without saying so."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta

import pytest

from provision.adapters.host import certificates
from provision.base import paths
from provision.base.errors import ProvisionError, UsageError
from provision.base.progress import Silent
from provision.model.localcloud.host import ServiceState
from provision.model.localcloud.settings import CLUSTERED, INFRASTRUCTURE, GivenTls, Settings, member_services
from provision.operations.localcloud.shared import backup as shared_backup
from provision.operations.localcloud.shared import installation, tls
from provision.operations.localcloud.single import restore

from ..backup_world import (  # noqa: F401
    AUTHORITY,
    DUMP,
    OTHER_VM,
    SERVES,
    VM,
    Notes,
    kept,
    make_authority,
    make_cloud,
)


def never():
    raise AssertionError("there is nothing that a person has to confirm")


def test_it_is_restored_into_nothing(cloud):
    kept(cloud, images=True)
    shutil.rmtree(paths.localcloud_dir())
    progress = Notes()
    restore.restore(progress, cloud.file, never)
    assert installation.read_passwords() == {"admin": "kept"}
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
    installation.require_complete_data()


def test_another_cloud_is_replaced_only_after_a_confirmation(cloud):
    kept(cloud)
    asked = []

    def refuse():
        asked.append(list(cloud.log))
        raise UsageError("say so with --yes")

    with pytest.raises(UsageError, match="--yes"):
        restore.restore(Silent(), cloud.file, refuse)
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
    restore.restore(Silent(), cloud.file, lambda: asked.append(1))
    assert asked == [1]


@pytest.mark.parametrize("images", [False, True])
def test_what_is_not_in_the_backup_goes_but_guests_disks_and_images_that_are_not_in_it(cloud, images):
    kept(cloud, images=images)
    old = {f"provision_{name}" for name in ("consul", "mariadb", "mariadb-2", "mariadb-3", "ovn", "rabbitmq-2")}
    cloud.data.there = ["provision-compute-1_nova", "provision_glance", "provision_monitoring", *old]
    restore.restore(Silent(), cloud.file, lambda: None)
    assert {name for name in cloud.data.removed if "_" in name} == old | ({"provision_glance"} if images else set())


def test_an_authority_that_is_not_in_the_backup_stays(cloud):
    (paths.localcloud_dir() / "tls" / "ca.key").unlink()
    assert not any(name.startswith("tls/") for name in kept(cloud))
    other = make_authority()
    tls.write_authority(other)
    restore.restore(Silent(), cloud.file, lambda: None)
    assert tls.authority_files() == other


def test_the_order_in_which_a_restore_changes_things(cloud):
    kept(cloud)
    restore.restore(Silent(), cloud.file, lambda: None)
    assert [step[0] for step in cloud.log] == ["images", "down", "files", "up", "access", "create", "create"]
    assert cloud.log[1] == ("down", False)
    assert cloud.log[3] == ("up", "provision", INFRASTRUCTURE)


def test_what_is_not_restored_is_gone_before_anything_starts(cloud):
    kept(cloud)
    cloud.data.there = ["provision_mariadb-3"]
    cloud.installation.control.up = lambda services: gone.append(list(cloud.data.removed))
    gone = []
    restore.restore(Silent(), cloud.file, lambda: None)
    assert gone == [["provision_mariadb-3"]]


def test_three_members_are_restored_and_each_has_all_of_it(cloud):
    kept(cloud)
    cloud.installation.settings = settings = Settings(ha=True)
    cloud.data.galera = dict.fromkeys(("provision-mariadb-1", "provision-mariadb-2-1", "provision-mariadb-3-1"), SERVES)
    cloud.data.behind = {"provision-mariadb-3-1": 2}
    restore.restore(Silent(), cloud.file, lambda: None)
    ups = [services for word, _, services in (step for step in cloud.log if step[0] == "up")]
    assert set(ups[0]) == {*INFRASTRUCTURE} - {*CLUSTERED}
    assert ups[-1] == (*CLUSTERED, *member_services(settings))
    assert cloud.log.index(("access",)) < cloud.log.index(("up", "provision", ups[-1]))
    assert cloud.data.loaded == DUMP
    # Loaded once, into one; then each was asked until it had what came last.
    assert cloud.data.behind == {"provision-mariadb-3-1": 0}
    installation.require_complete_data()


def test_a_member_that_never_gets_what_was_loaded_ends_the_restore(cloud):
    kept(cloud)
    cloud.data.behind = {"provision-mariadb-1": 9999}
    with pytest.raises(ProvisionError, match="still lacks: mariadb"):
        restore.restore(Silent(), cloud.file, lambda: None)
    with pytest.raises(UsageError, match="was interrupted"):
        installation.require_complete_data()


def test_a_file_that_is_damaged_changes_nothing(cloud):
    kept(cloud)
    cloud.file.write_bytes(cloud.file.read_bytes()[:-20])
    with pytest.raises(UsageError, match="no backup that can be restored"):
        restore.restore(Silent(), cloud.file, never)
    assert cloud.log == cloud.data.removed == []


def test_a_file_of_a_newer_version_is_refused_before_anybody_is_asked(cloud, monkeypatch):
    kept(cloud)
    monkeypatch.setattr(shared_backup, "__version__", "0.1.0")
    with pytest.raises(UsageError, match=r"was made by `provision` 0\.2\.0\.dev0, and this one is 0\.1\.0") as caught:
        restore.restore(Silent(), cloud.file, never)
    assert "Use version 0.2.0.dev0, or a newer one" in caught.value.hint
    assert cloud.log == cloud.data.removed == []


def test_a_certificate_that_cannot_be_used_any_more_is_refused_before_anything_is_removed(cloud, tmp_path):
    kept(cloud)
    installation.save_settings(Settings(tls=GivenTls("cloud.example.org", tmp_path / "moved.pem", tmp_path / "k.pem")))
    with pytest.raises(UsageError, match=r"moved\.pem cannot be read"):
        restore.restore(Silent(), cloud.file, never)
    assert cloud.log == cloud.data.removed == []
    assert installation.read_passwords() == {"admin": "kept"}


def test_an_authority_of_another_time_is_left_out_where_this_cloud_has_one_that_is_good(cloud, monkeypatch):
    class LongAgo(datetime):
        @classmethod
        def now(cls, tz):
            return datetime.now(tz) - timedelta(days=certificates.AUTHORITY_DAYS + 1)

    with monkeypatch.context() as then:
        then.setattr(certificates, "datetime", LongAgo)
        tls.write_authority(make_authority())
    kept(cloud)
    # Ours is no better: nothing is removed.
    with pytest.raises(ProvisionError, match=r"ca\.pem expired on"):
        restore.restore(Silent(), cloud.file, never)
    assert cloud.log == cloud.data.removed == []
    tls.write_authority(good := make_authority())
    progress = Notes()
    restore.restore(progress, cloud.file, lambda: None)
    assert tls.authority_files() == good
    assert any("authority was left out, as it expired on" in note for note in progress.notes)


def test_a_machine_that_has_become_one_of_several_hosts_is_left_alone(cloud):
    kept(cloud)
    installation.save_settings(Settings(ha=True, swarm=True))
    with pytest.raises(UsageError, match="one of several hosts"):
        restore.restore(Silent(), cloud.file, never)
    assert cloud.log == cloud.data.removed == []


def test_containers_that_lost_files_have_left_do_not_hold_the_volumes(cloud):
    kept(cloud)
    cloud.states = [ServiceState("mariadb", "provision-mariadb-1", "running", id="0123")]
    cloud.data.there = ["provision_mariadb"]
    restore.restore(Silent(), cloud.file, lambda: None)
    assert cloud.data.removed[:2] == ["0123", "provision_mariadb"]


def test_vms_that_nova_does_not_know_any_more_are_named_and_keep_their_disks(cloud):
    kept(cloud)
    cloud.data.there = ["provision-compute-1_nova"]
    cloud.data.disks = ["_base", "locks", VM, OTHER_VM, f"{OTHER_VM}_resize", f"{VM}_del"]
    progress = Notes()
    restore.restore(progress, cloud.file, lambda: None)
    (note,) = [note for note in progress.notes if "made after the backup" in note]
    assert f"alone: {OTHER_VM}. When" in note
    assert "`docker exec provision-compute-1-nova-compute-1 rm -r /var/lib/nova/instances/ID`" in note
    assert not any("compute" in name for name in cloud.data.removed)
    cloud.data.disks = ["_base", VM]
    progress = Notes()
    restore.restore(progress, cloud.file, lambda: None)
    assert not any("made after the backup" in note for note in progress.notes)


def test_an_interrupted_restore_keeps_the_cloud_from_starting_until_it_is_done(cloud):
    kept(cloud)
    cloud.data.broken = True
    with pytest.raises(ProvisionError, match="died"):
        restore.restore(Silent(), cloud.file, lambda: None)
    with pytest.raises(UsageError, match="was interrupted") as caught:
        installation.require_complete_data()
    assert f"`provision cloud restore {cloud.file}` again" in caught.value.hint
    cloud.data.broken = False
    restore.restore(Silent(), cloud.file, lambda: None)
    installation.require_complete_data()


def test_what_is_left_to_do_is_said(cloud):
    kept(cloud)
    cloud.inputs["nova"] = "n2"
    progress = Notes()
    restore.restore(progress, cloud.file, lambda: None)
    first, second = progress.notes
    assert first.endswith("It first migrates what this backup has of an older version: nova.")
    assert "these images are empty: golden." in second


def test_a_database_that_never_answers_ends_the_restore(cloud):
    kept(cloud)
    cloud.data.galera = {"provision-mariadb-1": None}
    with pytest.raises(ProvisionError, match=r"still lacks: the database \(no answer\)"):
        restore.restore(Silent(), cloud.file, lambda: None)
