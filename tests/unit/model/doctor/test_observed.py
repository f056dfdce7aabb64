"""What the nodes need of one another, and how ports are written."""

from __future__ import annotations

from dataclasses import replace

from provision.base.constants import PORTS
from provision.model.doctor.observed import ObservedNode, asked_of, spans, ways_of

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


HUB = ObservedNode("a-hub", "hub", "10.20.0.13")


def test_what_is_the_hubs_is_asked_of_its_own_node():
    master, one, two = WELL.nodes
    nodes = (master, HUB, one, two)
    assert {way.role for way in ways_of(WELL.nodes)} == {"master", "worker"}
    assert [way.ports[0] for way in ways_of(nodes) if way.role == "hub"] == [PORTS.driver, PORTS.nfs]
    assert [way.ports[0] for way in ways_of(nodes) if way.only == "hub"] == [PORTS.spark_master_ui]
    asked = asked_of(one, nodes)
    assert [port for host, port in asked if host == master.address] == [PORTS.spark_master]
    assert {port for host, port in asked if host == HUB.address} >= {PORTS.nfs, PORTS.driver}
    assert asked_of(HUB, nodes) == [(master.address, port) for port in (PORTS.spark_master, PORTS.spark_master_ui)]
    assert asked_of(master, nodes) == [(each.address, PORTS.spark_worker) for each in (one, two)]


def test_the_hub_is_not_looked_for_on_a_master_that_does_not_carry_it():
    assert WELL.hub is WELL.nodes[0]
    assert replace(WELL, hub_is_apart=True).hub is None
    assert replace(WELL, hub_is_apart=True, nodes=(*WELL.nodes, HUB)).hub is HUB
