"""The state that `status` prints, from a fake cloud, Spark master and Hub."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from provision.adapters import net, ssh
from provision.adapters.host.certificates import last_day
from provision.adapters.spark import SparkMaster
from provision.base.model import Bastion, HubSpec, Tls, WorkersSpec
from provision.operations.cluster import nodes
from provision.operations.cluster.nodes import find_live_cluster
from provision.operations.cluster.status import hub_problem, status


class Services:
    """What answers at the floating IP."""

    def __init__(self):
        self.workers, self.problem, self.asked, self.masters = (), "", [], []

    def ask_master(self, ssh_config, master, by):
        self.masters.append(master.address)
        assert (ssh_config.exists(), master.name, bool(master.host_keys)) == (True, "analytics-master", True)
        assert by == "analytics-master"
        return None if self.workers is None else SparkMaster(self.workers, 2, 2048, 1)

    def hub_answers(self, address, port, certificate, *, authority, accepts_expired):
        self.asked.append((address, port, certificate, authority))
        return self.problem


@pytest.fixture
def services(monkeypatch):
    made = Services()
    monkeypatch.setattr(nodes, "ask_master", made.ask_master)
    monkeypatch.setattr(net, "hub_answers", made.hub_answers)
    return made


@pytest.fixture
def site(make_site, services):
    site = make_site()
    site.up()
    services.workers = tuple(node.address for node in site.cloud.observe("analytics").nodes[1:])
    return site


def read(site, spec=None):
    return status(site.cloud, spec or site.spec, site.cluster_dir)


def test_a_cluster_that_works(site):
    state = read(site)
    assert state["exists"]
    assert state["working"]
    assert state["hub"]["url"] == "https://172.29.0.100"
    assert state["hub"]["well"]
    assert state["hub"]["certificate_ends"] == last_day((site.cluster_dir.folder / "hub.pem").read_text())
    assert not state["hub"]["certificate_ends_soon"]
    assert state["spark"] == {
        "ui": "https://172.29.0.100/services/spark/",
        "answers": True,
        "problem": None,
        "workers_alive": 2,
        "workers_wanted": 2,
        "cores": 2,
        "memory_mib": 2048,
        "applications": 1,
    }
    assert [(node["name"], node["registered"]) for node in state["nodes"]] == [
        ("analytics-master", None),
        ("analytics-worker-1", True),
        ("analytics-worker-2", True),
    ]
    assert {"kind": "key pair", "name": "provision-analytics"} in state["resources"]


def test_no_cluster(make_site, services):
    state = read(make_site())
    assert not state["exists"]
    assert not state["working"]
    assert (state["hub"]["url"], state["hub"]["problem"]) == (None, "there is no floating IP")
    assert state["hub"]["certificate_ends"] is None
    assert state["nodes"] == []
    assert services.asked == []


def test_a_worker_that_is_not_registered(site, services):
    services.workers = services.workers[:1]
    state = read(site)
    assert [node["registered"] for node in state["nodes"]] == [None, True, False]
    assert not state["working"]


def test_a_master_that_does_not_answer(site, services):
    services.workers = None
    state = read(site)
    assert (state["spark"]["answers"], state["spark"]["problem"]) == (False, "it does not answer")
    # Nobody has said that they are not.
    assert [node["registered"] for node in state["nodes"]] == [None, None, None]
    assert not state["working"]


def test_a_machine_without_the_key_says_so(site):
    site.cluster_dir.private_key.unlink()
    state = read(site)
    assert (state["spark"]["answers"], state["working"]) == (False, False)
    assert "this machine has no key" in state["spark"]["problem"]


def test_a_hub_that_does_not_answer(site, services):
    services.problem = "it does not answer yet"
    state = read(site)
    assert state["hub"]["problem"] == "it does not answer yet"
    assert not state["working"]


def test_fewer_workers_than_the_spec_asks_for(site):
    assert not read(site, replace(site.spec, workers=WorkersSpec(3)))["working"]


def test_a_node_that_is_off(site):
    site.cloud.vms[site.cloud.observe("analytics").nodes[1].id]["status"] = "SHUTOFF"
    state = read(site)
    assert state["nodes"][1]["status"] == "SHUTOFF"
    assert not state["working"]


def test_the_hub_is_asked_with_the_certificate_that_it_has(site, services, tmp_path):
    own = replace(site.spec, hub=HubSpec(port=8443, tls=Tls(tmp_path / "c.pem", tmp_path / "c.key")))
    hub_problem(site.spec, site.cluster_dir, "192.0.2.1")
    hub_problem(own, site.cluster_dir, "192.0.2.1")
    assert services.asked == [
        ("192.0.2.1", 443, site.cluster_dir.authority, True),
        ("192.0.2.1", 8443, tmp_path / "c.pem", False),
    ]


def test_spark_and_the_hub_are_asked_while_the_cloud_is_and_once(site, services):
    read(site)
    services.masters.clear()
    services.asked.clear()
    # What `observe` sees of them: they were asked before.
    seen, observe = [], site.cloud.observe

    def look(name, about):
        deadline = time.monotonic() + 5
        while not (services.masters and services.asked) and time.monotonic() < deadline:
            time.sleep(0.01)
        seen.append((list(services.masters), len(services.asked)))
        return observe(name, about)

    site.cloud.observe = look
    assert read(site)["working"]
    address = observe("analytics").nodes[0].address
    assert seen == [([address], 1)]
    assert (services.masters, len(services.asked)) == ([address], 1)


def test_an_early_answer_of_another_master_does_not_count(site, services):
    read(site)
    nodes = find_live_cluster(site.spec, "cluster.yaml", site.cloud).nodes
    ssh.write_config(site.cluster_dir.folder, [replace(node, address="10.9.9.9") for node in nodes[:1]], "192.0.2.99")
    services.masters.clear()
    services.asked.clear()
    assert read(site)["working"]
    assert services.masters == ["10.9.9.9", nodes[0].address]
    assert [address for address, *_ in services.asked] == ["192.0.2.99", "172.29.0.100"]


def test_behind_a_bastion_the_hub_is_asked_over_ssh(site, services, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "provision.operations.cluster.status.hub_answers_over_ssh",
        lambda config, master, to, certificate, **how: asked.append((config.name, master, to)) or "not yet",
    )
    spec = replace(site.spec, network=replace(site.spec.network, bastion=Bastion("jump")))
    state = read(site, spec)
    assert state["hub"]["problem"] == "not yet"
    assert asked == [("ssh_config", "analytics-master", ("172.29.0.100", 443))]
    assert services.asked == []
    assert "-W 172.29.0.100:22 jump" in (site.cluster_dir.folder / ssh.CONFIG).read_text()
