"""`down` on a fake cloud: after every interruption of `up` and of itself."""

from __future__ import annotations

import pytest

from provision.adapters.openstack.cloud import BusyError, TransientError
from provision.base.errors import ProvisionError, UsageError
from provision.base.progress import Silent
from provision.model.cluster import resources
from provision.operations.cluster.down import down

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
