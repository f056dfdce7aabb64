"""`down` on a fake cloud: after every interruption of `up` and of itself."""

from __future__ import annotations

import pytest

from provision.adapters.openstack.cloud import BusyError, TransientError
from provision.base.errors import ProvisionError, UsageError
from provision.base.progress import Silent
from provision.model.cluster import resources
from provision.operations.cluster.down import down
from provision.operations.cluster.resolve import find_cluster_dir

KILLS = [(number, late) for number in range(1, 60) for late in (False, True)]


@pytest.mark.parametrize(("number", "late"), KILLS)
def test_killed_anywhere_then_down(make_site, number, late):
    site = make_site()
    before = site.cloud.lists()
    with site.killed_at(number, late=late):
        site.up()
    site.down()
    assert site.cloud.lists() == before
    assert not site.cloud.observe("analytics")
    assert site.down() is False


@pytest.mark.parametrize(("number", "late"), KILLS)
def test_down_killed_anywhere_then_down(make_site, number, late):
    site = make_site()
    before = site.cloud.lists()
    site.up()
    with site.killed_at(number, late=late):
        site.down()
    site.down()
    assert site.cloud.lists() == before


def test_the_kills_reach_past_the_last_request(make_site):
    site = make_site()
    site.up()
    before = site.cloud.calls
    site.down()
    assert 10 < site.cloud.calls - before < len(KILLS) // 2


def test_down_removes_what_nova_left_behind(make_site):
    site = make_site()
    before = site.cloud.lists()
    site.up()
    seen = site.cloud.observe("analytics")
    site.cloud.add_port(seen.networks[0].id, device="vm-that-died", owner="compute:nova", groups=(seen.groups[0].id,))
    site.down()
    assert site.cloud.lists() == before


def test_each_further_worker_costs_two_requests(make_site):
    """Its deletion, and the question whether it is gone: its port goes with it."""
    sent = {}
    for workers in (2, 102):
        site = make_site(workers=workers)
        site.up()
        before = site.cloud.calls
        site.down()
        sent[workers] = site.cloud.calls - before
        assert site.cloud.log.count("delete") < 12
    assert sent[102] - sent[2] == 2 * 100


def test_down_names_what_is_not_ours(make_site, monkeypatch):
    site = make_site()
    site.up()
    seen = site.cloud.observe("analytics")
    site.cloud.add_port(seen.networks[0].id, name="theirs", device="vm-theirs", owner="compute:nova")
    monkeypatch.setattr("provision.operations.cluster.down.BUSY_TIMEOUT", -1)
    with pytest.raises(ProvisionError, match="in use") as caught:
        site.down()
    assert "not part of this cluster" in caught.value.hint
    assert "theirs" in [port.name for port in site.cloud.of("port")]


@pytest.mark.parametrize("failure", [BusyError("it is in use"), TransientError("the cloud failed")])
def test_a_request_that_may_succeed_later_is_repeated(make_site, failure):
    site = make_site()
    before = site.cloud.lists()
    site.up()
    deletes = []

    def delete(kind, item):
        deletes.append(kind)
        if len(deletes) < 4:
            raise failure
        return type(site.cloud).delete(site.cloud, kind, item)

    site.cloud.delete = delete
    site.down()
    assert deletes[:4] == ["floating IP"] * 4
    assert site.cloud.lists() == before


def test_a_cloud_that_limits_requests_gets_the_pause_that_it_asks_for(make_site):
    site = make_site()
    site.up()
    limited = TransientError("too many requests")
    limited.pause = 17
    failures, naps = [limited, BusyError("it is in use"), limited], len(site.naps)

    def delete(kind, item):
        if failures:
            raise failures.pop()
        return type(site.cloud).delete(site.cloud, kind, item)

    site.cloud.delete = delete
    site.down()
    assert site.naps[naps : naps + 3] == [17, 2, 17]


def test_a_cloud_that_keeps_failing_is_given_up(make_site, monkeypatch):
    site = make_site()
    site.up()

    def fail(*arguments):
        raise TransientError("the cloud failed")

    monkeypatch.setattr(site.cloud, "delete", fail)
    monkeypatch.setattr("provision.operations.cluster.down.BUSY_TIMEOUT", -1)
    with pytest.raises(TransientError, match="the cloud failed"):
        site.down()
    assert site.cluster_dir.folder.exists()


def test_nothing_is_removed_without_consent(make_site):
    site = make_site()
    site.up()
    writes, shown = len(site.cloud.writes), []

    def refuse(observed):
        shown.extend(observed.listed())
        raise UsageError("no")

    with pytest.raises(UsageError):
        down(site.cloud, site.cluster_dir, Silent(), refuse)
    assert ("server", "analytics-master") in shown
    assert len(site.cloud.writes) == writes


def test_what_comes_back_each_time_is_named(make_site, monkeypatch):
    site = make_site()
    site.up()
    monkeypatch.setattr(site.cloud, "delete_key", lambda name: None)
    with pytest.raises(
        ProvisionError, match="these come back each time they are removed: key pair provision-analytics"
    ):
        site.down()


def test_down_without_anything(make_site):
    site = make_site()
    assert site.down() is False
    assert site.cloud.writes == []


def test_things_of_others_are_never_touched(make_site):
    site = make_site()
    before = site.cloud.lists()
    site.up()
    site.down()
    assert site.cloud.lists() == before
    assert resources.mark("analytics") not in [thing.description for thing in site.cloud.things.values()]


def elsewhere(site, project):
    """The same spec on the same machine, on a cloud of another project."""
    other = type(site.cloud)()
    other.project = project
    made = type(site)(other, site.spec)
    made.cluster_dir = find_cluster_dir(other, site.spec.name)
    return made


def test_where_the_cloud_shows_nothing_another_clouds_keys_stay(make_site):
    site = make_site()
    site.up()
    files = {path.name: path.read_bytes() for path in site.cluster_dir.folder.iterdir()}
    other = elsewhere(site, "another")
    assert other.down() is False
    # As it was with one folder for both.
    assert down(other.cloud, site.cluster_dir, Silent(), lambda observed: None) is False
    assert {path.name: path.read_bytes() for path in site.cluster_dir.folder.iterdir()} == files
    other.up()
    other.down()
    assert {path.name: path.read_bytes() for path in site.cluster_dir.folder.iterdir()} == files
    site.assert_complete()


def test_a_folder_of_an_older_release_stays_where_nothing_proves_it(make_site):
    site = make_site()
    site.up()
    (site.cluster_dir.folder / "cloud.json").unlink()
    assert elsewhere(site, "another").down() is False
    assert site.cluster_dir.private_key.exists()
    assert find_cluster_dir(site.cloud, "analytics").folder == site.cluster_dir.folder
    assert site.down()
    assert not site.cluster_dir.folder.exists()


def test_a_colleagues_cluster_is_refused_unless_that_is_meant(make_site, monkeypatch, tmp_path):
    site = make_site()
    before = site.cloud.lists()
    site.up()
    complete = site.cloud.lists()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    # Nova shows a user's own key pairs only.
    site.cloud.keys.pop("provision-analytics")
    theirs = type(site)(site.cloud, site.spec)
    for keys in ("none", "others"):
        if keys == "others":
            theirs.cluster_dir.ensure_key()
        with pytest.raises(UsageError, match="its keys are not in") as caught:
            theirs.down()
        assert "--foreign" in caught.value.hint
    assert site.cloud.lists()[:2] == complete[:2]
    shown = []
    removed = down(
        theirs.cloud, theirs.cluster_dir, Silent(), lambda seen: shown.extend(seen.listed()), foreign=True,
        sleep=lambda _: None,
    )  # fmt: skip
    assert removed
    assert ("server", "analytics-master") in shown
    assert theirs.cluster_dir.private_key.exists()
    assert site.cloud.lists() == before


def test_a_renamed_server_is_removed(make_site):
    site = make_site()
    before = site.cloud.lists()
    site.up()
    for vm in site.cloud.vms.values():
        if vm["metadata"][resources.META_CLUSTER] == "analytics":
            vm["name"] = "renamed in Horizon"
    site.down()
    assert site.cloud.lists() == before
