"""The network of a rack: what a leaf switch's ports are for, and how many servers it connects.

A port is made of lanes (40 Gbit/s of four with 10). Each uplink takes a whole port; the others serve servers, whole, or
split by a breakout cable into a link for each lane.
"""

from __future__ import annotations

from dataclasses import dataclass

from provision.base.errors import UsageError


@dataclass(frozen=True, slots=True)
class Rack:
    """What is asked for."""

    ports: int = 24
    """Ports of one leaf switch."""
    spines: int = 4
    uplinks_per_spine: int = 1
    """Links from each leaf to each spine."""
    lanes: int = 4
    """Lanes of a port, each a link of its own through a breakout cable."""
    lane_gbits: int = 10
    """Gbit/s of a lane."""
    links_per_server: int = 2
    """Lanes that a server has, all in all."""
    whole_port_servers: int = 0
    """Servers that have a whole port, not split, of each leaf."""
    leaves: int = 1
    """Leaf switches of the rack; a server's links are spread over them."""


@dataclass(frozen=True, slots=True)
class RackSize:
    """What comes of it, for one leaf where nothing else is said."""

    uplinks: int
    server_ports: int
    """Ports that are left for servers."""
    whole_ports: int
    """Those of them that serve as a whole."""
    breakout_ports: int
    """Those that are split."""
    lanes: int
    """Links that the split ports give."""
    servers: int
    """Servers on split ports, of the whole rack."""
    breakout_cables: int
    """Cables of the whole rack, and the same for the next two."""
    whole_cables: int
    uplink_cables: int
    down_gbits: int
    """Bandwidth to servers, Gbit/s: of the links that servers use."""
    up_gbits: int
    """Bandwidth to the spines, Gbit/s."""
    oversubscription: float
    """How many times what servers can send is more than what the uplinks carry."""
    down_gbits_after_leaf_loss: int
    """What the servers of the rack still have when a leaf fails; nothing with one leaf."""


def size_rack(rack: Rack) -> RackSize:
    """Work out a rack. Raises UsageError when the ports do not suffice, or the links cannot be spread."""
    _check(rack)
    uplinks = rack.spines * rack.uplinks_per_spine
    server_ports = rack.ports - uplinks
    # On each leaf: a server with several links has an equal part of them there.
    links_per_leaf = rack.links_per_server // rack.leaves
    whole_ports = rack.whole_port_servers
    breakout_ports = server_ports - whole_ports
    if server_ports < 1 or breakout_ports < 0:
        raise UsageError(
            f"a leaf of {rack.ports} ports has no room for {uplinks} uplinks and {whole_ports} whole ports for servers",
            "Take a larger switch, fewer spines, or another leaf.",
        )
    lanes = breakout_ports * rack.lanes
    servers = lanes // links_per_leaf
    port = rack.lanes * rack.lane_gbits
    if not servers and not whole_ports:
        raise UsageError(
            f"this rack connects no server: the split ports of a leaf give {lanes} links, and one server has "
            f"{links_per_leaf} there",
            "Take a larger switch, fewer spines, or fewer links for a server.",
        )
    down = servers * links_per_leaf * rack.lane_gbits + whole_ports * port
    up = uplinks * port
    return RackSize(
        uplinks=uplinks,
        server_ports=server_ports,
        whole_ports=whole_ports,
        breakout_ports=breakout_ports,
        lanes=lanes,
        servers=servers,
        breakout_cables=breakout_ports * rack.leaves,
        whole_cables=whole_ports * rack.leaves,
        uplink_cables=uplinks * rack.leaves,
        down_gbits=down,
        up_gbits=up,
        oversubscription=round(down / up, 2),
        down_gbits_after_leaf_loss=down * (rack.leaves - 1),
    )


def _check(rack: Rack) -> None:
    for name in ("ports", "spines", "uplinks_per_spine", "lanes", "lane_gbits", "links_per_server", "leaves"):
        if getattr(rack, name) < 1:
            raise UsageError(f"{name.replace('_', ' ')}: {getattr(rack, name)} is none", "Give one at least.")
    if rack.whole_port_servers < 0:
        raise UsageError(f"{rack.whole_port_servers} servers cannot be", "Give a number of servers, or 0.")
    if rack.links_per_server % rack.leaves:
        raise UsageError(
            f"{rack.links_per_server} links of a server cannot be spread evenly over {rack.leaves} leaves",
            "Give each server as many links as there are leaves, or a multiple of that.",
        )
