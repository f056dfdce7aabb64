"""What listens, and who gets through."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Cluster, Look


def _outside(lines: list[str]) -> dict[int, str]:
    """Port -> address of what listens beyond the loopback address."""
    found = {}
    for line in lines:
        address, _, port = line.rpartition(":")
        plain = address.strip("[]").removeprefix("::ffff:").partition("%")[0]
        if not plain.startswith("127.") and plain != "::1":
            found[int(port)] = address
    return found


def _allowed(cluster: Cluster, role: str) -> tuple[set[int], set[int]]:
    """The ports that must listen on a node of this role, and those that may while a notebook runs."""
    ports, hub = cluster.context(role)["ports"], cluster.context(role)["hub"]["port"]

    def span(first: int) -> set[int]:
        return set(range(first, first + ports["retries"] + 1))

    if role == "master":
        must = {ports["ssh"], ports["spark_master"], ports["spark_master_ui"], ports["spark_history"], hub}
        return must, span(ports["driver"]) | span(ports["driver_block_manager"]) | span(ports["app_ui"])
    return {ports["ssh"], ports["spark_worker"], ports["spark_worker_ui"]}, span(ports["block_manager"])


def test_everything_listens(cluster: Cluster, look: Look) -> None:
    must, _ = _allowed(cluster, look.role)
    missing = must - set(_outside(look["tcp"]))
    assert not missing, f"{look.name}: nothing listens on {sorted(missing)}"


def test_nothing_else_listens(cluster: Cluster, look: Look) -> None:
    must, may = _allowed(cluster, look.role)
    more = {port: address for port, address in _outside(look["tcp"]).items() if port not in must | may}
    assert not more, f"{look.name}: these listen too: {more}"


def test_no_udp_but_dhcp(look: Look) -> None:
    more = set(_outside(look["udp"])) - {68}
    assert not more, f"{look.name}: UDP ports {sorted(more)} are open"


def test_hub_api_is_on_loopback(cluster: Cluster, master_look: Look) -> None:
    ports = cluster.context("master")["ports"]
    for port in (ports["hub_api"], ports["proxy_api"]):
        assert f"127.0.0.1:{port}" in master_look["tcp"], f"nothing listens on 127.0.0.1:{port}"


def test_firewall_drops_what_is_not_named(look: Look) -> None:
    rules = "\n".join(look["firewall"])
    assert "table inet provision" in rules, f"{look.name}: the firewall is not loaded"
    for chain in ("input", "forward"):
        assert f"hook {chain} priority filter; policy drop;" in rules, f"{look.name}: chain {chain} does not drop"


def test_firewall_is_the_clusters(cluster: Cluster, look: Look) -> None:
    context = cluster.context(look.role)
    wanted = context["cluster"]["cidr"]
    assert f"ip saddr {wanted} tcp dport" in "\n".join(look["firewall"]), f"{look.name}: no rule for {wanted}"


def test_metadata_is_closed_to_users(look: Look) -> None:
    # curl's 7: refused at once, which is our rule; 28 would be nobody answering.
    assert look["metadata-as-nobody"] == ["7"], f"{look.name}: curl as nobody ended with {look['metadata-as-nobody']}"


def test_metadata_rule_spares_root(look: Look) -> None:
    rules = "\n".join(look["firewall"])
    assert "ip daddr 169.254.169.254 meta skuid != 0 reject" in rules, f"{look.name}: no rule for the metadata"


def test_master_reaches_workers(cluster: Cluster, master_look: Look) -> None:
    closed = [line for line in master_look["peers"] if not line.endswith(" open")]
    assert not closed, f"from {master_look.name}: {closed}"
    assert len(master_look["peers"]) == 2 * len(cluster.workers)


def test_workers_reach_only_what_they_need(cluster: Cluster, worker_look: Look) -> None:
    needed = f"{cluster.master['address']}:{cluster.context('worker')['ports']['spark_master']}"
    own = worker_look.address
    for line in worker_look["peers"]:
        peer, state = line.split()
        if peer.startswith(f"{own}:"):
            continue
        expected = "open" if peer == needed else "closed"
        assert state == expected, f"from {worker_look.name}: {peer} is {state}, not {expected}"


def test_outside_reaches_only_what_is_for_people(cluster: Cluster) -> None:
    context = cluster.context("master")
    ports, address = context["ports"], context["cluster"]["floating"]
    people = {ports["ssh"], context["hub"]["port"], ports["spark_master_ui"], ports["spark_history"]}
    inner = {
        ports["spark_master"],
        ports["driver"],
        ports["driver_block_manager"],
        ports["hub_api"],
        ports["proxy_api"],
    }
    opened = {port for port in people | inner if _connects(address, port)}
    assert opened == people, f"open from here: {sorted(opened)}, and it should be {sorted(people)}"


def _connects(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=6):
            return True
    except OSError:
        return False
