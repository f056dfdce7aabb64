"""Wait for a cluster to form: bounded, a line per node, and ended within seconds by a node that says it failed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from provision.base.errors import ProvisionError
from provision.base.model import Node
from provision.model.cluster import console
from provision.model.cluster.plan import BUILDING

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.adapters.net import SparkMaster
    from provision.adapters.openstack.cloud import Cloud
    from provision.base.progress import Progress
    from provision.model.cluster.resources import Server

TIMEOUT: Final = 1800
"""Seconds: emulated VMs take 6 to 8 minutes, real ones about one."""
PAUSE: Final = 3
CONSOLES: Final = 8
"""How many consoles are read in one round: each is a request that the hypervisor has to answer."""
KEYS_GRACE: Final = 120
"""Seconds that a working cluster is given to print its nodes' host keys."""


class UnbuiltError(ProvisionError):
    """A VM could not be built: it never ran, so making it again loses nothing."""


class ReadinessWait:
    """Watches a cluster's nodes until all of them work."""

    def __init__(
        self,
        cloud: Cloud,
        name: str,
        progress: Progress,
        *,
        nodes: int,
        spark: Callable[[], SparkMaster | None],
        hub: Callable[[], str],
        timeout: float = TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.cloud = cloud
        self.name = name
        self.progress = progress
        self._count = nodes
        self._spark = spark
        self._hub = hub
        self._timeout = timeout
        self._clock = clock
        self._sleep = sleep
        self._reports: dict[str, console.ConsoleReport] = {}
        self._turn = 0
        self._registered: frozenset[str] = frozenset()
        self._hub_says = "it was not asked yet"
        self._spark_seen = False

    def run(self) -> tuple[Node, ...]:
        """Wait until every worker is registered and the Hub answers; return the nodes with their host keys.

        Raises ProvisionError with the failing node's reason and last lines, or with what is missing at the time limit.
        """
        began = self._clock()
        servers = self._list()
        building = frozenset(server.id for server in servers if server.status in BUILDING)
        formed_at: float | None = None
        while True:
            if building:
                # Other clusters' names may begin like ours: only ours count.
                now_building = self.cloud.building(self.name) & {server.id for server in servers}
                if now_building != building or len(servers) < self._count:
                    servers = self._list()
                    building = frozenset(server.id for server in servers if server.status in BUILDING)
            self._look(servers)
            self._ask()
            self._show(servers)
            waited = self._clock() - began
            if self._formed(servers):
                formed_at = waited if formed_at is None else formed_at
                if self._keys_known(servers) or waited - formed_at > KEYS_GRACE:
                    return self._nodes(servers)
            elif waited > self._timeout:
                raise self._late(servers)
            self._sleep(PAUSE)
            if not building and not self._formed(servers):
                # A VM that stops while it boots is seen here, as is an address that came late.
                servers = self._list()

    def _list(self) -> tuple[Server, ...]:
        servers = tuple(server for server in self.cloud.servers(self.name) if not server.deleting)
        for server in servers:
            if server.status == "ERROR":
                kind = ProvisionError if server.launched else UnbuiltError
                raise kind(
                    f"{server.name} went into ERROR: {server.fault or 'the cloud gave no reason'}",
                    "Run `provision up` again: it makes the VM anew.",
                    "\n".join(console.tail(self.cloud.console(server.id))),
                )
            if server.status == "SHUTOFF" and server.id in self._reports:
                raise ProvisionError(
                    f"{server.name} switched itself off while it booted",
                    "Run `provision up` again: it starts the VM.",
                    "\n".join(console.tail(self.cloud.console(server.id))),
                )
        return servers

    def _look(self, servers: tuple[Server, ...]) -> None:
        """Read some consoles, each node's in its turn."""
        open_ = [server for server in servers if server.status == "ACTIVE" and not self._settled(server)]
        if not open_:
            return
        start = self._turn % len(open_)
        chosen = (open_[start:] + open_[:start])[:CONSOLES]
        self._turn = start + len(chosen)
        for server in chosen:
            report = console.read(self.cloud.console(server.id))
            self._reports[server.id] = report
            if report.failure:
                raise ProvisionError(
                    f"{server.name}: {report.failure.reason}",
                    f"`openstack console log show {server.name}` has all it said. Once the cause is mended: "
                    "`provision down`, then `provision up`.",
                    "\n".join(report.failure.log),
                )

    def _ask(self) -> None:
        spark = self._spark()
        self._spark_seen = self._spark_seen or spark is not None
        self._registered = frozenset(spark.workers) if spark else frozenset()
        self._hub_says = self._hub()

    def _works(self, server: Server) -> bool:
        if server.role == "master":
            return not self._hub_says
        return bool(server.address) and server.address in self._registered

    def _settled(self, server: Server) -> bool:
        report = self._reports.get(server.id)
        return self._works(server) and report is not None and bool(report.host_keys)

    def _formed(self, servers: tuple[Server, ...]) -> bool:
        return len(servers) == self._count and all(self._works(server) for server in servers)

    def _keys_known(self, servers: tuple[Server, ...]) -> bool:
        return all(self._settled(server) for server in servers)

    def _state(self, server: Server) -> str:
        if self._works(server):
            return "the Hub answers" if server.role == "master" else "registered"
        if server.status in BUILDING:
            return "building"
        if server.status != "ACTIVE":
            return server.status.lower()
        report = self._reports.get(server.id)
        return (report.phase if report else "") or "booting"

    def _show(self, servers: tuple[Server, ...]) -> None:
        for server in sorted(servers, key=lambda one: (one.role != "master", one.name)):
            self.progress.update(server.name, self._state(server))

    def _nodes(self, servers: tuple[Server, ...]) -> tuple[Node, ...]:
        return tuple(
            Node(
                server.name,
                server.role,
                server.address,
                server.id,
                server.status,
                self._reports[server.id].host_keys if server.id in self._reports else (),
            )
            for server in servers
        )

    def _late(self, servers: tuple[Server, ...]) -> ProvisionError:
        missing = [f"{server.name}: {self._state(server)}" for server in servers if not self._works(server)]
        master = next((server for server in servers if server.role == "master"), None)
        ready = len(servers) - len(missing)
        detail = list(missing)
        if self._hub_says:
            detail.append(f"the Hub: {self._hub_says}")
        started = self._reports[master.id].started if master and master.id in self._reports else ()
        hint = "Run `provision up` again to go on waiting (`--timeout` gives it longer), or `provision down`."
        if "spark-master" in started and not self._spark_seen:
            hint = (
                "The Spark master says that it runs, but this machine cannot reach it: look at network.access, and at "
                "firewalls on the way. " + hint
            )
        return ProvisionError(
            f"the cluster has not formed after {self._timeout / 60:.0f} minutes: {self._count - ready} of "
            f"{self._count} nodes are not ready",
            hint,
            "\n".join(detail),
        )
