"""Compare what a plan needs with what the project's quotas leave."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provision.base.model import ClusterSpec, Flavor
    from provision.model.cluster.resources import ObservedCluster
    from provision.model.cluster.steps import Plan

_RESOURCES = {
    "network": "networks",
    "subnet": "subnets",
    "router": "routers",
    "port": "ports",
    "floating IP": "floatingips",
    "security group": "security groups",
}


def shortage(
    plan: Plan,
    spec: ClusterSpec,
    flavors: Mapping[str, Flavor],
    room: Mapping[str, int],
    observed: ObservedCluster | None = None,
) -> list[str]:
    """List what the plan needs more of than the quotas leave (`6 cores, 4 left`); empty if it fits.

    What a server takes that is deleted first is given back: `observed` says which flavor that is.
    """
    need: Counter[str] = Counter()
    servers = {server.id: server for server in observed.servers} if observed else {}
    for step in plan.steps:
        if step.verb == "create" and step.kind in _RESOURCES:
            need[_RESOURCES[step.kind]] += 1
        if step.kind == "server" and step.verb == "create":
            for name in step.ids:
                master = name == f"{spec.name}-master"
                flavor = flavors[spec.master.flavor if master else spec.workers.flavor]
                need.update({"instances": 1, "cores": flavor.vcpus, "RAM (MiB)": flavor.ram})
                # The master's port is a step of its own; Nova makes the workers'.
                need["ports"] += 0 if master else 1
        if step.kind == "server" and step.verb in ("delete", "remove", "wait"):
            for server in (servers.get(id) for id in step.ids):  # noqa: A001 - the cloud's own word
                need["instances"] -= 1
                # The master's port stays.
                need["ports"] -= 0 if server is None or server.role == "master" else 1
                if server is not None and server.flavor in flavors:
                    gone = flavors[server.flavor]
                    need.subtract({"cores": gone.vcpus, "RAM (MiB)": gone.ram})
    return [f"{count} {what}, {room[what]} left" for what, count in need.items() if what in room and count > room[what]]
