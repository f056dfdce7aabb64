"""Health of the services, read from Consul's agent and HAProxy's statistics."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provision.model.registrator.services import CONTAINER_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from provision.model.localcloud.host import ServiceState


@dataclass(frozen=True, slots=True)
class Instance:
    """A service of a container as registered in Consul. `address` is host:port, as HAProxy writes it."""

    id: str
    name: str
    container: str
    """First digits of the container's id."""
    address: str
    healthy: bool


def instances(
    services: Mapping[str, Mapping[str, Any]], checks: Mapping[str, Mapping[str, Any]]
) -> tuple[Instance, ...]:
    """Read `/v1/agent/services` and `/v1/agent/checks`; services without a container are left out."""
    failing = {check.get("ServiceID") for check in checks.values() if check["Status"] != "passing"}
    return tuple(
        Instance(
            id=id_,
            name=service["Service"],
            container=str(service["Meta"][CONTAINER_KEY]),
            address=f"{service['Address']}:{service['Port']}",
            healthy=id_ not in failing,
        )
        for id_, service in sorted(services.items())
        if (service.get("Meta") or {}).get(CONTAINER_KEY)
    )


def instances_of(state: ServiceState, known: Iterable[Instance]) -> tuple[Instance, ...]:
    """Select the instances that belong to a container."""
    return tuple(each for each in known if state.id.startswith(each.container))


def healthy(state: ServiceState, known: Iterable[Instance]) -> bool:
    """Whether a container is registered in Consul and all of its services pass their checks."""
    own = instances_of(state, known)
    return bool(own) and all(each.healthy for each in own)


@dataclass(frozen=True, slots=True)
class BackendServer:
    """A server slot in one of HAProxy's backends, and the replica in it."""

    backend: str
    name: str
    address: str
    """Empty if the slot is free."""
    up: bool
    requests: int
    """Requests in progress at this replica or queued for it."""
    total: int = 0
    """Requests so far, whichever replicas were in this slot."""


def servers(text: str) -> tuple[BackendServer, ...]:
    """Read HAProxy's statistics, as CSV: https://docs.haproxy.org/3.0/management.html#9.1."""
    rows = csv.DictReader(text.removeprefix("# ").splitlines())
    return tuple(
        BackendServer(
            backend=row["pxname"],
            name=row["svname"],
            address=row["addr"],
            up=row["status"].startswith("UP"),
            requests=int(row["scur"] or 0) + int(row["qcur"] or 0),
            total=int(row["stot"] or 0),
        )
        for row in rows
        if row["svname"] not in ("FRONTEND", "BACKEND")
    )
