"""What the cloud says: nodes that are down or missing, the floating IP, the security group, and who cannot be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.base.constants import PORTS
from provision.model.cluster.resources import NODES
from provision.model.cluster.statuses import BUILDING, STARTABLE
from provision.model.doctor.cause import (
    HUB,
    NO_EXECUTORS,
    SPARK,
    WAITING,
    Cause,
    closed,
    unasked,
    unmounted,
    unregistered,
)
from provision.model.doctor.observed import METRICS_WAY, spans
from provision.model.finding import Finding, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from provision.model.doctor.observed import ObservedNode, ObservedSparkCluster

_UP: Final = "`provision up`"


def down(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """A node is down, in error, or on its way."""
    for node in seen.nodes:
        if node.status == "ACTIVE":
            continue
        evidence = (f"cloud: {node.name} is {node.status}", *([f"cloud: {node.fault}"] if node.fault else []))
        if node.status in STARTABLE:
            wrong, do = f"is {node.status} on the cloud", f"{_UP} starts it."
        elif node.status in BUILDING:
            wrong, do = f"is {node.status} on the cloud", "That passes by itself; look again in some minutes."
        else:
            why = f": {node.fault}" if node.fault else ""
            wrong, do = (
                f"is {node.status} on the cloud{why}",
                f"{_UP} replaces a worker, `provision up --replace` any node.",
            )
        yield Cause(Finding("cloud", node.name, wrong, do, evidence), explains=_all_of(seen, node))


def missing(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """The cloud has fewer nodes than the spec asks for, and the quota may be why."""
    there = len(seen.workers)
    lacking = ["the master"] if seen.master is None else []
    lacking += [seen.hub_called] if seen.hub is None and seen.hub_is_apart else []
    for what in lacking:
        everything = frozenset(
            {HUB, SPARK, WAITING, NO_EXECUTORS} | {symptom for node in seen.nodes for symptom in _of(seen, node)}
        )
        finding = Finding("cloud", what, "does not exist on the cloud", f"{_UP} makes it.", _listed(seen))
        yield Cause(finding, explains=everything)
    if there < seen.count:
        wrong = f"{seen.count - there} of {seen.count} do not exist on the cloud"
        do = f"{_UP} makes what is missing."
        if seen.short:
            wrong += f", and the project's quota is too small for them: they need {'; '.join(seen.short)}"
            do = f"Remove what is not needed, ask for fewer workers, or have the quota raised; then {_UP}."
        yield Cause(Finding("cloud", "the workers", wrong, do, _listed(seen)), explains=frozenset({WAITING}))


def _listed(seen: ObservedSparkCluster) -> tuple[str, ...]:
    there = listed((node.name for node in seen.nodes), 9) or "no node"
    asked = "a master, a node for the Hub" if seen.hub_is_apart else "a master"
    return (f"cloud: lists {there}; the spec asks for {asked} and {seen.count} workers", *_short(seen))


def _short(seen: ObservedSparkCluster) -> tuple[str, ...]:
    return tuple(f"quota: {each}" for each in seen.short)


def unreachable_address(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """There is no floating IP, or it does not lead to the node with the Hub."""
    if seen.hub is None or (seen.floating and seen.attached):
        return
    wrong = f"{seen.floating} does not lead to {seen.hub_called}" if seen.floating else "does not exist"
    yield Cause(
        Finding(
            "cloud",
            "the floating IP",
            f"{wrong}, so nobody reaches the Hub, and this machine no node",
            f"{_UP} makes or attaches it.",
            (f"cloud: floating IP {seen.floating or 'none'}, {'attached' if seen.attached else 'not attached'}",),
        ),
        explains=frozenset(unasked(node.name) for node in seen.nodes),
    )


def ungrouped(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """The security group lacks rules, or a node is not in it."""
    for name in seen.ungrouped:
        node = next(each for each in seen.nodes if each.name == name)
        finding = Finding(
            "security group",
            name,
            "is not in the cluster's security group, so the cloud lets nothing in",
            "Give its port the group again: `openstack port set --security-group GROUP PORT`.",
            (f"cloud: the port with {node.address} has another security group, or none",),
        )
        yield Cause(finding, explains=_all_of(seen, node))
    between = [rule for rule in seen.rules if rule.peer == NODES]
    for way in seen.ways:
        ports = {port for rule in between for port in range(rule.first, rule.last + 1)} & set(way.ports)
        if ports:
            role = {"master": "the master", "hub": "the Hub's node", "worker": "a worker"}[way.role]
            wrong = f"lets no node reach port {spans(ports)} of {role}: {way.without}"
            evidence = tuple(f"cloud: the security group has no rule for {rule}" for rule in between)
            finding = Finding("security group", "the security group", wrong, f"{_UP} adds the rule again.", evidence)
            nodes = [node for node in seen.nodes if node.role == way.role]
            blocked = frozenset(closed(node.name, port) for node in nodes for port in ports)
            yield Cause(finding, explains=blocked | follows(seen.workers, way.ports[0]))
    ssh = [rule for rule in between if rule.first == PORTS.ssh]
    people = [rule for rule in seen.rules if rule.peer != NODES] + ssh
    if people:
        wrong = f"lacks what is open to people and operators: {', '.join(str(rule) for rule in people)}"
        evidence = tuple(f"cloud: the security group has no rule for {rule}" for rule in people)
        finding = Finding("security group", "the security group", wrong, f"{_UP} adds the rules again.", evidence)
        yield Cause(finding, explains=frozenset(unasked(node.name) for node in seen.nodes))


def silent(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """A node that runs cannot be asked over SSH."""
    quiet = [node for node in seen.nodes if node.status == "ACTIVE" and not node.answers]
    for node in quiet:
        wrong = f"runs, and does not answer over SSH: {node.silent or 'no reason is known'}"
        do = "`openstack console log show` shows its console, `openstack server reboot` starts it again."
        explains = _all_of(seen, node)
        if node is seen.hub:
            do = f"See that nothing between here and {seen.floating} is closed. {do}"
            explains |= {unasked(each.name) for each in seen.nodes if each is not node}
        finding = Finding("cloud", node.name, wrong, do, tuple(f"console: {line}" for line in node.console))
        yield Cause(finding, frozenset({unasked(node.name)}), explains)


def follows(workers: Iterable[ObservedNode], first: int) -> frozenset[str]:
    """Return what follows from ports that are closed to these workers; `first` is the first of a way's ports."""
    if first == PORTS.spark_master:
        return frozenset({unregistered(node.name) for node in workers} | {WAITING})
    if first == PORTS.spark_master_ui:
        return frozenset({SPARK, WAITING, NO_EXECUTORS}).union(unregistered(node.name) for node in workers)
    if first == PORTS.node_metrics:
        return frozenset()
    if first == PORTS.nfs:
        return frozenset(unmounted(node.name) for node in workers)
    return frozenset({NO_EXECUTORS})


def _of(seen: ObservedSparkCluster, node: ObservedNode) -> frozenset[str]:
    ports = {port for way in (*seen.ways, METRICS_WAY) if way.role == node.role for port in way.ports}
    return frozenset({unasked(node.name), unregistered(node.name), unmounted(node.name)}) | {
        closed(node.name, port) for port in ports
    }


def _all_of(seen: ObservedSparkCluster, node: ObservedNode) -> frozenset[str]:
    """Return what follows from a node that is away: of the one with the Hub, everything of everybody."""
    if node.role == "worker":
        alone = {WAITING} if not seen.alive else set()
        return _of(seen, node) | alone
    if node is not seen.hub:
        return _of(seen, node) | {SPARK, WAITING, NO_EXECUTORS} | {unregistered(each.name) for each in seen.workers}
    return frozenset({HUB, SPARK, WAITING, NO_EXECUTORS}.union(*(_of(seen, each) for each in seen.nodes)))


def unseen(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """Something could not be observed."""
    for node in seen.answering:
        gaps = node.fact("missing", {})
        if gaps:
            yield Cause(
                Finding(
                    "unseen",
                    node.name,
                    f"could not say all of itself: {listed(gaps, 9)}",
                    "Run it again; if it stays, the reason below is a problem of its own.",
                    tuple(f"{name}: {why}" for name, why in sorted(gaps.items())),
                )
            )
