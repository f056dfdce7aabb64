"""Compare what a plan needs with what the project's quotas leave."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from provision.model.cluster.resources import role_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provision.base.model import Flavor
    from provision.model.cluster.resources import ObservedCluster
    from provision.model.cluster.steps import DesiredState, Plan, Step

GROUP_MEMBERS: Final = "servers in a server group"
"""A limit for each server group, not for all of the project's."""
_RESOURCES: Final = {
    "network": "networks",
    "subnet": "subnets",
    "router": "routers",
    "floating IP": "floating IPs",
    "security group": "security groups",
    "server group": "server groups",
}
_EGRESS_RULES: Final = 2
"""Rules that Neutron puts into a new security group: everything may go out, by IPv4 and IPv6."""


def needs(
    plan: Plan, desired: DesiredState, flavors: Mapping[str, Flavor], observed: ObservedCluster
) -> dict[str, int]:
    """Count what a plan takes of the project's quotas. What is deleted first is given back."""
    need: Counter[str] = Counter()
    for step in plan.steps:
        kind = (step.verb, step.kind)
        if kind == ("create", "server"):
            need.update(_servers(step, desired, flavors))
        elif kind == ("create", "port"):
            need["ports"] += max(len(step.ids), 1)
        elif kind == ("delete", "port"):
            need["ports"] -= 1
        elif kind == ("update", "security group"):
            there = {rule for group in observed.groups for rule, _ in group.rules}
            need["security group rules"] += len(desired.rules - there)
        elif step.kind == "server" and step.verb in ("delete", "remove", "wait"):
            need.subtract(_given_back(step, flavors, observed))
        elif step.kind in _RESOURCES and step.verb in ("create", "delete"):
            need[_RESOURCES[step.kind]] += 1 if step.verb == "create" else -1
        if kind == ("create", "security group"):
            need["security group rules"] += _EGRESS_RULES
    need[GROUP_MEMBERS] = _largest_group(plan, desired, observed)
    return {what: count for what, count in need.items() if count > 0}


def shortage(need: Mapping[str, int], room: Mapping[str, int]) -> dict[str, str]:
    """Say what is needed more of than the quotas leave: `instances` -> `6 instances, 4 left`."""
    short = (what for what, count in need.items() if count > room.get(what, count))
    return {what: f"{need[what]} {what}, {room[what]} left" for what in short}


def arithmetic(need: Mapping[str, int], room: Mapping[str, int]) -> str:
    """Say how much of what the quotas leave is taken; empty where they limit none of it."""
    parts = [f"{count} of {room[what]} {what}" for what, count in need.items() if what in room]
    return f"of what the project's quotas leave, this takes {', '.join(parts)}" if parts else ""


def _servers(step: Step, desired: DesiredState, flavors: Mapping[str, Flavor]) -> Counter[str]:
    need: Counter[str] = Counter()
    for name in step.ids:
        role = role_of(desired.name, name)
        flavor = flavors[desired.flavor_of(role)]
        need.update({"instances": 1, "cores": flavor.vcpus, "RAM (MiB)": flavor.ram})
        # The master's port and the Hub's are steps of their own, as workers' may be; else Nova makes these.
        need["ports"] += 1 if role == "worker" and not desired.own_ports else 0
    return need


def _given_back(step: Step, flavors: Mapping[str, Flavor], observed: ObservedCluster) -> Counter[str]:
    back: Counter[str] = Counter()
    servers = {server.id: server for server in observed.servers}
    stay = {port.device for port in observed.ports if port.marked}
    for id in step.ids:  # noqa: A001 - the cloud's own word
        server = servers.get(id)
        back["instances"] += 1
        # A port that was made before its server stays.
        back["ports"] += 0 if server is None or server.role != "worker" or id in stay else 1
        if server is not None and server.flavor in flavors:
            back.update({"cores": flavors[server.flavor].vcpus, "RAM (MiB)": flavors[server.flavor].ram})
    return back


def _largest_group(plan: Plan, desired: DesiredState, observed: ObservedCluster) -> int:
    """Return how many servers the largest of the server groups has that new ones come into; 0: they come into none."""
    gone = {id for step in plan.steps if step.verb in ("delete", "remove") for id in step.ids}  # noqa: A001
    own = next((group for group in observed.server_groups if group.policy == desired.policy), None)
    there = {
        group.id: group.members
        for group in (desired.master_group, desired.hub_group, desired.worker_group, own)
        if group
    }
    new: Counter[str] = Counter()
    for name in (name for step in plan.of("create") if step.kind == "server" for name in step.ids):
        role = role_of(desired.name, name)
        group = desired.group_of(role) or (own if role == "worker" else None)
        if group is not None:
            new[group.id] += 1
        elif desired.policy and role == "worker":
            new[""] += 1  # one that is going to be made
    return max((len(there.get(id, frozenset()) - gone) + count for id, count in new.items()), default=0)  # noqa: A001
