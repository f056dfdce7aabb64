"""Who is healthy: what Consul's agent and HAProxy's statistics say, as data; touches nothing."""

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
    """A container's service in Consul; `address` is host:port, as HAProxy writes it."""

    id: str
    name: str
    container: str
    """The beginning of the container's id."""
    address: str
    healthy: bool


def instances(
    services: Mapping[str, Mapping[str, Any]], checks: Mapping[str, Mapping[str, Any]]
) -> tuple[Instance, ...]:
    """Read `/v1/agent/services` and `/v1/agent/checks`; what no container stands for is left out."""
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
    """Choose a container's own services."""
    return tuple(each for each in known if state.id.startswith(each.container))


def healthy(state: ServiceState, known: Iterable[Instance]) -> bool:
    """Whether a container is in Consul, and all that it is there for passes its checks."""
    mine = instances_of(state, known)
    return bool(mine) and all(each.healthy for each in mine)


@dataclass(frozen=True, slots=True)
class BackendServer:
    """A place in one of HAProxy's backends, and the copy in it."""

    backend: str
    name: str
    address: str
    """Empty where nobody is."""
    up: bool
    requests: int
    """Under way, or waiting for this copy."""
    total: int = 0
    """Requests so far, whoever was in this place."""


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
