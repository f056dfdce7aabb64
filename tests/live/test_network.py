"""Which ports are open, and to whom."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Cluster, Probe


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

    must, may = {ports["ssh"]} | _metrics(cluster, role), set[int]()
    if role == "master":
        must |= {ports["spark_master"], ports["spark_master_ui"]}
    if role == cluster.hub["role"]:
        must |= {hub, ports["nfs"]}
        # The history server is asked for as this begins.
        may.add(ports["spark_history"])
        may |= span(ports["driver"]) | span(ports["driver_block_manager"]) | span(ports["app_ui"])
    if role == "worker":
        must |= {ports["spark_worker"], ports["spark_worker_ui"]}
        may |= span(ports["block_manager"])
    return must, may


def _metrics(cluster: Cluster, role: str) -> set[int]:
    """The port of each node's own metrics, where the spec turns monitoring on."""
    return {cluster.context(role)["ports"]["node_metrics"]} if cluster.context(role)["monitoring"]["on"] else set()


def test_everything_listens(cluster: Cluster, probe: Probe) -> None:
    must, _ = _allowed(cluster, probe.role)
    missing = must - set(_outside(probe["tcp"]))
    assert not missing, f"{probe.name}: nothing listens on {sorted(missing)}"


def test_nothing_else_listens(cluster: Cluster, probe: Probe) -> None:
    must, may = _allowed(cluster, probe.role)
    more = {port: address for port, address in _outside(probe["tcp"]).items() if port not in must | may}
    assert not more, f"{probe.name}: these listen too: {more}"


def test_no_udp_but_dhcp(probe: Probe) -> None:
    more = set(_outside(probe["udp"])) - {68}
    assert not more, f"{probe.name}: UDP ports {sorted(more)} are open"


def test_hub_api_is_on_loopback(cluster: Cluster, hub_probe: Probe) -> None:
    ports = cluster.context(cluster.hub["role"])["ports"]
    for port in (ports["hub_api"], ports["proxy_api"]):
        assert f"127.0.0.1:{port}" in hub_probe["tcp"], f"nothing listens on 127.0.0.1:{port}"


def test_what_monitoring_keeps_is_on_loopback(cluster: Cluster, hub_probe: Probe) -> None:
    context = cluster.context(cluster.hub["role"])
    for name in ("metrics", "alerts", "spark_metrics", "dashboards"):
        listens = f"127.0.0.1:{context['ports'][name]}" in hub_probe["tcp"]
        assert listens == context["monitoring"]["on"], f"what listens on 127.0.0.1:{context['ports'][name]}?"


def test_users_of_a_node_do_not_reach_what_monitoring_keeps(cluster: Cluster, hub_probe: Probe) -> None:
    # 7 means refused at once, by our rule or since nothing listens.
    assert hub_probe["metrics-as-nobody"] == ["7"] * 4, hub_probe["metrics-as-nobody"]


def test_sparks_pages_are_behind_the_hub(cluster: Cluster, hub_probe: Probe) -> None:
    wanted = f"127.0.0.1:{cluster.context(cluster.hub['role'])['ports']['pages']}"
    # Nodes of an older image lack the program.
    assert (wanted in hub_probe["tcp"]) == (hub_probe["pages"] == ["there"]), f"what listens on {wanted}?"


def test_users_of_a_node_do_not_reach_sparks_pages(probe: Probe) -> None:
    # 7 means refused at once. That the servers are there, test_everything_listens says.
    assert probe["pages-as-nobody"] == ["7", "7"], f"{probe.name}: curl as nobody ended with {probe['pages-as-nobody']}"


def test_firewall_drops_what_is_not_named(probe: Probe) -> None:
    rules = "\n".join(probe["firewall"])
    assert "table inet provision" in rules, f"{probe.name}: the firewall is not loaded"
    for chain in ("input", "forward"):
        assert f"hook {chain} priority filter; policy drop;" in rules, f"{probe.name}: chain {chain} does not drop"


def test_firewall_is_the_clusters(cluster: Cluster, probe: Probe) -> None:
    context = cluster.context(probe.role)
    wanted = context["cluster"]["cidr"]
    assert f"ip saddr {wanted} tcp dport" in "\n".join(probe["firewall"]), f"{probe.name}: no rule for {wanted}"


def test_metadata_is_closed_to_users(probe: Probe) -> None:
    # 7 means refused at once, which is our rule; 28 would mean that nothing answers.
    code = probe["metadata-as-nobody"]
    assert code == ["7"], f"{probe.name}: curl as nobody ended with {code}"


def test_metadata_rule_spares_root(probe: Probe) -> None:
    rules = "\n".join(probe["firewall"])
    assert "ip daddr 169.254.169.254 meta skuid != 0 reject" in rules, f"{probe.name}: no rule for the metadata"


def test_nodes_reach_only_what_they_need(cluster: Cluster, probe: Probe) -> None:
    needed = cluster.needed(probe.role)
    for line in probe["peers"]:
        peer, state = line.split()
        expected = "open" if peer in needed else "closed"
        assert state == expected, f"from {probe.name}: {peer} is {state}, not {expected}"
    assert {line.split()[0] for line in probe["peers"]} >= needed


def test_outside_reaches_only_what_is_for_people(cluster: Cluster) -> None:
    context = cluster.context(cluster.hub["role"])
    ports, address = context["ports"], context["cluster"]["floating"]
    people = {ports["ssh"], context["hub"]["port"]}
    inner = {
        ports["spark_master"],
        ports["spark_master_ui"],
        ports["spark_history"],
        ports["app_ui"],
        ports["pages"],
        ports["driver"],
        ports["driver_block_manager"],
        ports["hub_api"],
        ports["proxy_api"],
        ports["metrics"],
        ports["alerts"],
        ports["spark_metrics"],
        ports["node_metrics"],
    }
    opened = {port for port in people | inner if _connects(address, port)}
    if cluster.data["bastion"]:
        # What this machine reaches by itself may be nothing.
        people &= opened
    assert opened == people, f"open from here: {sorted(opened)}, and it should be {sorted(people)}"


def _connects(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=6):
            return True
    except OSError:
        return False
