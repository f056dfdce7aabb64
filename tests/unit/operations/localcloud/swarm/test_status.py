"""The status of a Swarm, for a person and for a program."""

from __future__ import annotations

import pytest

from provision.model.localcloud.status import HypervisorStatus, ServiceStatus
from provision.model.localcloud.swarm import Host
from provision.operations.localcloud.swarm.status import SwarmStatus

HOSTS = (Host("id1", "host-1", "192.0.2.1", True, 1), Host("id2", "host-2", "192.0.2.2", True))
KEYSTONE = ServiceStatus("keystone", 2, 2, 2, ("sha256:abcdef0123456789",), "", ("host-1", "host-2"))
GLANCE = ServiceStatus("glance", 1, 0, None, (), "", (), problem="no suitable node")

WORKING = HypervisorStatus("host-2", ())
BROKEN = HypervisorStatus("host-2", ("its switch is not reported",))


def status(services=(KEYSTONE,), apis=None, hosts=HOSTS, hypervisors=(WORKING,)):
    return SwarmStatus(hosts, services, {"keystone": ""} if apis is None else apis, hypervisors)


def test_all_is_well():
    found = status()
    assert found.up
    assert found.text().splitlines() == [
        "host-1  192.0.2.1  ready  member 1",
        "host-2  192.0.2.2  ready",
        "",
        "service   replicas  healthy  image         hosts          out of date",
        "keystone  2/2       2        abcdef012345  host-1 host-2  -",
        "",
        "keystone  answers",
        "",
        "hypervisor host-2  up",
        "Everything is up.",
    ]


def test_a_program_reads_the_same_keys_as_ever():
    document = status((KEYSTONE, GLANCE)).document()
    assert list(document) == ["up", "hosts", "services", "apis", "hypervisors"]
    keys = ["service", "wanted", "running", "healthy", "digests", "drift", "hosts", "problem", "up"]
    assert [list(each) for each in document["services"]] == [keys, keys]
    assert document["services"][1]["problem"] == "no suitable node"
    assert document["apis"] == {"keystone": "up"}
    assert [list(each) for each in document["hypervisors"]] == [["host", "lacks", "up"]]


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (status((KEYSTONE, GLANCE)), "glance: no suitable node"),
        (status(apis={"keystone": "HTTP 503"}), "keystone  HTTP 503"),
        (
            status(hypervisors=(HypervisorStatus("host-2", ("its switch is not reported",)),)),
            "hypervisor host-2  its switch",
        ),
        (status(hosts=(Host("id1", "host-1", "192.0.2.1", False, 1),)), "host-1  192.0.2.1  away  member 1"),
        (status(apis={}, hypervisors=()), "`provision cloud up` starts it"),
    ],
)
def test_what_is_not_as_it_should_be_is_not_up_and_is_said(found, line):
    assert not found.up
    assert line in found.text()
    assert "Everything is up." not in found.text()
