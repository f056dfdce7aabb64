"""`provision sizing network`: a calculator."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Final

import click

from provision.cli.terminal import print_json

if TYPE_CHECKING:
    from collections.abc import Callable

_WORDS: Final = {
    "uplinks": "uplink ports of a leaf",
    "server_ports": "ports left for servers",
    "whole_ports": "of these, whole",
    "breakout_ports": "of these, split",
    "lanes": "links of split ports",
    "servers": "servers on split ports, in the rack",
    "breakout_cables": "breakout cables, in the rack",
    "whole_cables": "cables for whole ports, in the rack",
    "uplink_cables": "cables to the spines, in the rack",
    "down_gbits": "Gbit/s to servers, of a leaf",
    "up_gbits": "Gbit/s to the spines, of a leaf",
    "oversubscription": "oversubscription",
    "down_gbits_after_leaf_loss": "Gbit/s to servers without one leaf",
}
_OPTIONS: Final = {
    "ports": (24, "Ports of a leaf switch."),
    "spines": (4, "Spine switches."),
    "uplinks_per_spine": (1, "Links from a leaf to each spine."),
    "lanes": (4, "Links into which a breakout cable splits a port."),
    "lane_gbits": (10, "Gbit/s of each of them."),
    "links_per_server": (2, "Links of a server, all in all."),
    "whole_port_servers": (0, "Servers that have a whole port of each leaf."),
    "leaves": (1, "Leaf switches of the rack; each server is connected to all of them."),
}


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for name, (default, words) in reversed(_OPTIONS.items()):
        flag = f"--{name.replace('_', '-')}"
        command = click.option(flag, name, type=int, default=default, show_default=True, metavar="N", help=words)(
            command
        )
    return command


@click.group()
def sizing() -> None:
    """Work out sizes before anything is bought or made."""


@sizing.command()
@_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def network(*, as_json: bool, **asked: int) -> None:
    """Work out a rack's leaf switches: ports, cables, servers and oversubscription.

    The defaults are a leaf of 24 ports with 40 Gbit/s, four spines, and servers with two links of 10 Gbit/s.
    """
    from provision.model.examples.network import Rack, size_rack

    size = size_rack(Rack(**asked))
    if as_json:
        print_json(asdict(size))
        return
    width = max(map(len, _WORDS.values()))
    for field in fields(size):
        value = getattr(size, field.name)
        shown = f"{value:g}:1" if field.name == "oversubscription" else value
        click.echo(f"{_WORDS[field.name].ljust(width)}  {shown}")
