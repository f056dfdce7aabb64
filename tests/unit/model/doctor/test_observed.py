"""What the nodes need of one another, and how ports are written."""

from __future__ import annotations

from provision.base.constants import PORTS
from provision.model.doctor.observed import asked_of, spans

from .diagnosis import WELL


def test_each_node_tries_what_it_needs():
    master, one, two = WELL.nodes
    assert asked_of(master, WELL.nodes) == [(each.address, PORTS.spark_worker) for each in (one, two)]
    asked = asked_of(one, WELL.nodes)
    assert {port for host, port in asked if host == master.address} == {
        PORTS.spark_master,
        PORTS.nfs,
        *range(PORTS.driver, PORTS.driver + PORTS.retries + 1),
        *range(PORTS.driver_block_manager, PORTS.driver_block_manager + PORTS.retries + 1),
    }
    assert {host for host, _ in asked} == {master.address, two.address}
    assert {host for host, _ in asked_of(two, WELL.nodes)} == {master.address, one.address}


def test_a_worker_alone_tries_the_master_only():
    master, one, _ = WELL.nodes
    assert {host for host, _ in asked_of(one, (master, one))} == {master.address}


def test_ports_are_written_as_people_do():
    assert spans([7102, 7077, 7100, 7101]) == "7077, 7100-7102"
