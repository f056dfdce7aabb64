"""What lies between the nodes: firewalls, ways that are closed for no known reason, names, the metadata service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.base.constants import LOCAL_CLOUD, METADATA_ADDRESS, NODE, PORTS
from provision.model.doctor.cause import Cause, closed
from provision.model.doctor.cloud_rules import follows
from provision.model.doctor.firewall import Firewall
from provision.model.doctor.observed import spans
from provision.model.doctor.words import STARTING
from provision.model.finding import Finding, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from provision.model.doctor.observed import ObservedNode, ObservedSparkCluster, Way

_OPEN = ("open", "refused")
"""What an open way answers: somebody listens, or nobody does."""


def firewalled(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """A node's own firewall keeps out what it has to let in."""
    ways, firewalls = seen.ways, _firewalls(seen)
    for node in seen.answering:
        others = [each for each in seen.nodes if each is not node and each.address]
        for way in ways:
            if way.role != node.role:
                continue
            # Drivers on the Hub's own node need the Spark master too.
            also = "hub" if way.role == "master" else "worker"
            sources = [each for each in others if each.role in ("worker", also) or way.role == "worker"]
            # The Spark master alone starts executors, say.
            if way.only:
                sources = [each for each in sources if each.role == way.only]
            addresses = [each.address for each in sources]
            if why := _refused(firewalls[node.name], addresses, [node.address], way.ports, "input"):
                yield _firewalled(seen, node, way, why)


def walled_in(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """A node's own firewall does not let it reach what it needs of another."""
    ways, firewalls, tried = seen.ways, _firewalls(seen), _tried(seen)
    for node in seen.answering:
        for way in ways:
            # The master needs nothing of a worker but to start executors there.
            if (node.role == "master" and way.only != "master") or (way.only == "hub" and node.role != "hub"):
                continue
            targets = [each for each in seen.nodes if each is not node and each.address and each.role == way.role]
            addresses = [each.address for each in targets]
            if why := _refused(firewalls[node.name], [node.address], addresses, way.ports, "output"):
                finding = Finding(
                    "firewall",
                    f"the firewall of {node.name} (nftables)",
                    f"does not let it reach port {spans(why)} of {listed(each.name for each in targets)}: "
                    f"{way.without}",
                    _reload(seen, node),
                    tuple(dict.fromkeys(why.values())),
                )
                blocked = frozenset(
                    closed(each.name, port) for each in targets for port in tried.get(each.address, ()) if port in why
                )
                concerned = seen.workers if way.only == "hub" else [node]
                yield Cause(finding, explains=blocked | follows(concerned, way.ports[0]))


def _firewalls(seen: ObservedSparkCluster) -> dict[str, Firewall]:
    """Return each node's firewall by its name; nodes with the same rules, as all of a role, share one."""
    found: dict[str, Firewall] = {}
    rulesets = {node.name: node.fact("firewall", []) for node in seen.answering}
    return {name: found.setdefault(repr(ruleset), Firewall(ruleset)) for name, ruleset in rulesets.items()}


def _refused(
    firewall: Firewall, sources: Iterable[str], targets: Iterable[str], ports: Iterable[int], hook: str
) -> dict[int, str]:
    """Return, by port, what stops the first of these connections that it stops."""
    ends = [
        (source[0], target[0])
        for source in firewall.alike("saddr", sources)
        for target in firewall.alike("daddr", targets)
    ]
    found: dict[int, str] = {}
    for group in firewall.alike("dport", ports):
        words = next(filter(None, (firewall.refusal(*end, group[0], hook) for end in ends)), "")
        if words:
            found |= dict.fromkeys(group, words)
    return found


def _tried(seen: ObservedSparkCluster) -> dict[str, set[int]]:
    """Return the ports that somebody has tried, by the address."""
    found: dict[str, set[int]] = {}
    for node in seen.answering:
        for target in node.fact("reach", {}):
            host, _, port = target.rpartition(":")
            found.setdefault(host, set()).add(int(port))
    return found


def _reload(seen: ObservedSparkCluster, node: ObservedNode) -> str:
    at = "" if node is seen.hub else f" {node.name}"
    return (
        f"`provision ssh{at} -- sudo nft -f {NODE.firewall}` loads its rules again; playbooks/site.yml restores the "
        "file, if that was changed."
    )


def _firewalled(seen: ObservedSparkCluster, node: ObservedNode, way: Way, why: dict[int, str]) -> Cause:
    tried = [
        f"{other.name} to {node.name}:{port}: {other.fact('reach', {}).get(f'{node.address}:{port}')}"
        for other in seen.answering
        for port in list(why)[:1]
        if f"{node.address}:{port}" in other.fact("reach", {})
    ]
    finding = Finding(
        "firewall",
        f"the firewall of {node.name} (nftables)",
        f"lets nobody reach port {spans(why)}: {way.without}",
        _reload(seen, node),
        (*dict.fromkeys(why.values()), *tried),
    )
    return Cause(
        finding, explains=frozenset(closed(node.name, port) for port in why) | follows(seen.workers, way.ports[0])
    )


def blocked(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """A way between two nodes is closed, and neither the firewall nor the security group says why."""
    by_address = {node.address: node for node in seen.nodes}
    for way in seen.ways:
        found: dict[str, list[tuple[str, int, str]]] = {}
        for node in seen.answering:
            for target, answer in node.fact("reach", {}).items():
                host, _, port = target.rpartition(":")
                other = by_address.get(host)
                if (
                    other
                    and other.role == way.role
                    and int(port) in way.ports
                    and _closed(seen, other, int(port), answer)
                ):
                    found.setdefault(other.name, []).append((node.name, int(port), answer))
        for name, tries in found.items():
            ports = {port for _, port, _ in tries}
            finding = Finding(
                "network",
                listed({source for source, _, _ in tries}),
                f"cannot reach port {spans(ports)} of {name}, and neither its firewall nor the security group "
                f"says why: {way.without}",
                "Look for what else is between them: the cloud's network, its hypervisors, a firewall of another "
                f"table. `provision ssh {name} -- sudo tcpdump` shows whether anything comes.",
                tuple(f"{source} to {name}:{port}: {answer}" for source, port, answer in tries),
            )
            symptoms = frozenset(closed(name, port) for port in ports)
            tried = {source for source, _, _ in tries}
            sources = [each for each in seen.workers if each.name in tried or way.only == "hub"]
            yield Cause(finding, symptoms, symptoms | follows(sources, way.ports[0]))


def _closed(seen: ObservedSparkCluster, node: ObservedNode, port: int, answer: str) -> bool:
    """Whether an answer means that the way is closed: a refusal does where a daemon listens."""
    units = {PORTS.spark_worker: "spark-worker", PORTS.nfs: "nfs-server"}
    unit = units.get(port, "spark-master" if port in (PORTS.spark_master, PORTS.spark_master_ui) else None)
    if answer != "refused" or unit is None:
        return answer not in _OPEN
    state = node.fact("units", {}).get(unit, {})
    # A JVM listens minutes after its unit has started.
    since = float(state.get("since", 0.0))
    return state.get("active") == "active" and seen.now.timestamp() + node.ahead - since > STARTING


def nameless(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """A node cannot look up names."""
    for node in seen.answering:
        servers, names = node.fact("name_servers", {}), node.fact("names", {})
        lost = sorted(name for name, address in names.items() if not address)
        if lost:
            yield Cause(
                Finding(
                    "names",
                    node.name,
                    f"cannot look up {listed(lost)}, a name of the cluster's own",
                    f"`systemctl status systemd-resolved` there says why; playbooks/site.yml restores {NODE.hosts}.",
                    tuple(f"{name}: no address" for name in lost),
                )
            )
        elif servers and not any(servers.values()):
            yield Cause(
                Finding(
                    "names",
                    node.name,
                    f"gets no answer from its name servers ({listed(servers)}): no name outside the cluster is found",
                    "Check that the cloud's name server runs, and that the subnet names the right one.",
                    tuple(f"DNS: {server}:53 does not answer" for server in servers),
                )
            )


def without_metadata(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """The cloud's metadata service does not answer, where it is needed or answers others."""
    lost = {node.name: node.fact("metadata") for node in seen.answering if node.fact("metadata")}
    some = len(lost) < len([node for node in seen.answering if "metadata" in node.facts])
    needed = [node.name for node in seen.answering if "ConfigDrive" not in str(node.fact("datasource", ""))]
    # A cloud may have none: then the config drive has all that it would say.
    if lost and (some or seen.cloud == LOCAL_CLOUD or set(lost) & set(needed)):
        where = (
            "the local cloud's metadata agents: `provision cloud doctor`" if seen.cloud == LOCAL_CLOUD else "the cloud"
        )
        yield Cause(
            Finding(
                "metadata",
                listed(lost),
                f"cannot reach the cloud's metadata service ({METADATA_ADDRESS})",
                f"What runs goes on; a node that boots without a config drive would not be set up. Look at {where}, "
                "and at the routes of the node.",
                tuple(f"{name}: {why}" for name, why in lost.items()),
            )
        )
