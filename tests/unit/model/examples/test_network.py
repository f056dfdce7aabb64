"""A rack's network: the case that was published, others around it, and what cannot be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.base.errors import UsageError
from provision.model.examples.network import Rack, size_rack


def test_twenty_four_ports_and_four_spines():
    size = size_rack(Rack())
    assert (size.uplinks, size.server_ports, size.lanes, size.servers) == (4, 20, 80, 40)
    assert (size.breakout_cables, size.uplink_cables) == (20, 4)
    assert (size.down_gbits, size.up_gbits, size.oversubscription) == (800, 160, 5.0)


# What is asked for: servers, split ports, whole ports, oversubscription.
RACKS = {
    "eight spines": (Rack(spines=8), (32, 16, 0, 2.0)),
    "two links to each of four spines": (Rack(uplinks_per_spine=2), (32, 16, 0, 2.0)),
    "thirty-two ports": (Rack(ports=32), (56, 28, 0, 7.0)),
    "ten servers have moved to whole ports": (Rack(whole_port_servers=10), (20, 10, 10, 5.0)),
    "all servers have": (Rack(whole_port_servers=20), (0, 0, 20, 5.0)),
    "two leaves, a link to each": (Rack(leaves=2), (80, 20, 0, 5.0)),
    "25 Gbit/s": (Rack(ports=32, lane_gbits=25), (56, 28, 0, 7.0)),
    "three links leave some unused": (Rack(links_per_server=3), (26, 20, 0, 4.88)),
}


@pytest.mark.parametrize("case", RACKS)
def test_racks(case):
    rack, expected = RACKS[case]
    size = size_rack(rack)
    assert (size.servers, size.breakout_ports, size.whole_ports, size.oversubscription) == expected


def test_a_leaf_that_fails():
    assert size_rack(Rack()).down_gbits_after_leaf_loss == 0
    assert size_rack(Rack(leaves=2)).down_gbits_after_leaf_loss == 800


@pytest.mark.parametrize(
    ("rack", "words"),
    [
        (Rack(ports=4), "has no room"),
        (Rack(ports=24, spines=24), "has no room"),
        (Rack(whole_port_servers=21), "21 whole ports"),
        (Rack(links_per_server=3, leaves=2), "spread evenly"),
        (Rack(ports=5, links_per_server=8), "give 4 links, and one server has 8"),
        (Rack(ports=5, lanes=1), "connects no server"),
        (Rack(spines=0), "spines"),
        (Rack(whole_port_servers=-1), "-1 servers"),
    ],
)
def test_what_cannot_be(rack, words):
    with pytest.raises(UsageError, match=words):
        size_rack(rack)


racks = st.builds(
    Rack,
    ports=st.integers(1, 128),
    spines=st.integers(1, 16),
    uplinks_per_spine=st.integers(1, 2),
    links_per_server=st.sampled_from([2, 4, 8]),
    whole_port_servers=st.integers(0, 64),
    leaves=st.integers(1, 2),
)


@given(racks)
def test_no_port_and_no_lane_is_given_twice(rack):
    uplinks, links = rack.spines * rack.uplinks_per_spine, rack.links_per_server // rack.leaves
    try:
        size = size_rack(rack)
    except UsageError:
        room = rack.ports - uplinks
        assert room < max(rack.whole_port_servers, 1) or (not rack.whole_port_servers and room * rack.lanes < links)
        return
    assert size.servers + size.whole_ports
    assert size.uplinks + size.whole_ports + size.breakout_ports == rack.ports
    assert 0 <= size.lanes - size.servers * links < links
