"""The wait for deleted servers: those that the cloud keeps, a thousand, and those that stay."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision.adapters.openstack.cloud import BusyError, KeptError
from provision.base.errors import ProvisionError
from provision.base.progress import Silent
from provision.model.cluster.resources import ObservedCluster, Server
from provision.operations.cluster.servers import deletion
from provision.operations.cluster.servers.deletion import Deletion


def wait(site, ids, **options):
    Deletion(site.cloud, "analytics", ids, Silent(), sleep=lambda _: None, **options).wait()


def test_deleted_servers_are_waited_for(make_site):
    site = make_site()
    site.up()
    nodes = site.cloud.observe("analytics").nodes
    for node in nodes:
        site.cloud.delete_server(node.id)
    wait(site, [node.id for node in nodes])
    assert site.cloud.observe("analytics").servers == ()


def test_where_nothing_may_be_deleted_for_good_up_stops_and_down_goes_on(make_site, monkeypatch):
    site = make_site()
    site.cloud.reclaims = True
    site.up()

    def refused(server):
        raise KeptError(f"the cloud keeps {server}")

    monkeypatch.setattr(site.cloud, "force_delete_server", refused)
    larger = replace(site.spec, master=replace(site.spec.master, flavor="m1.medium"))
    with pytest.raises(KeptError):
        site.up(spec=larger, replace=True)
    ids = [node.id for node in site.cloud.observe("analytics").nodes]
    for node in ids:
        site.cloud.delete_server(node)
    wait(site, ids, need_ports=False)


def test_servers_that_are_gone_are_asked_for_once_each(make_site):
    site = make_site(workers=20)
    site.up()
    site.down()
    assert site.cloud.log.count("server_status") == 21


def test_a_server_that_is_busy_is_deleted_for_good_at_the_next_look(make_site, monkeypatch):
    site = make_site(workers=1)
    site.cloud.reclaims = True
    site.up()
    force, failures = site.cloud.force_delete_server, [BusyError("it is being deleted")]

    def busy(server):
        if failures:
            raise failures.pop()
        force(server)

    monkeypatch.setattr(site.cloud, "force_delete_server", busy)
    site.down()
    assert [*site.cloud.vms] == ["vm-x"]


def test_nothing_to_wait_for_asks_nothing(make_site):
    site = make_site()
    wait(site, [])
    assert site.cloud.calls == 0


def test_servers_that_stay_are_named(make_site, monkeypatch):
    site = make_site()
    site.up()
    monkeypatch.setattr(deletion, "TIMEOUT", -1)
    ids = [node.id for node in site.cloud.observe("analytics").nodes[1:]]
    with pytest.raises(ProvisionError, match="has not deleted analytics-worker-1, analytics-worker-2 after") as caught:
        wait(site, ids)
    assert "an administrator" in caught.value.hint
    assert ObservedCluster() != site.cloud.observe("analytics")


class Slow:
    """A cloud that deletes two servers a second, up to a number of them."""

    def __init__(self, count, most):
        self.now = 0.0
        self.ids = [f"vm-{number}" for number in range(count)]
        self.most = most
        self.asked = []

    def gone(self):
        return min(int(self.now * 2), self.most)

    def servers(self, _name):
        return [Server(each, f"a-worker-{each[3:]}", "worker", deleting=True) for each in self.ids[self.gone() :]]

    def server_status(self, server):
        self.asked.append(server)
        return ""

    def sleep(self, seconds):
        self.now += seconds

    def wait(self):
        Deletion(self, "a", self.ids, Silent(), clock=lambda: self.now, sleep=self.sleep).wait()


def test_a_thousand_deletions_may_take_as_long_as_servers_go():
    cloud = Slow(1000, 1000)
    cloud.wait()
    assert 500 <= cloud.now < 510
    assert deletion.TIMEOUT < 500
    assert sorted(cloud.asked) == sorted(cloud.ids), "each once"


def test_some_of_many_that_stay_are_named_and_the_others_counted():
    cloud = Slow(1000, 700)
    with pytest.raises(
        ProvisionError, match="a-worker-700, a-worker-701, a-worker-702, a-worker-703 and 296 more after"
    ):
        cloud.wait()
    assert 350 + deletion.TIMEOUT <= cloud.now < 360 + deletion.TIMEOUT
