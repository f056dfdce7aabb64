"""Wait until a cluster is ready, while it makes progress. A node that reports a failure ends it within seconds."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from provision.adapters.openstack.cloud import AT_ONCE
from provision.base.constants import INSTALL_UNIT
from provision.base.errors import ProvisionError
from provision.base.model import Node
from provision.base.poll import Pace, Pending, until
from provision.base.roles import first_of, with_hub
from provision.base.threads import each
from provision.model.cluster import console
from provision.model.cluster.resources import natural
from provision.model.cluster.statuses import BUILDING
from provision.model.finding import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from provision.adapters.openstack.cloud import Cloud
    from provision.adapters.spark import SparkMaster
    from provision.base.model import Spread
    from provision.base.progress import Progress
    from provision.model.cluster.resources import Server

TIMEOUT: Final = 1800
"""Seconds without progress: emulated VMs take 6 to 13 minutes in all, real ones about one."""
QUIET: Final = 120
"""Seconds without progress after which it is said what is waited for, and again every so many seconds."""
PAUSE: Final = 3
"""Seconds between two looks."""
CONSOLES: Final = 5 * AT_ONCE
"""Consoles that are read in one round once all nodes are built: each is a request that the hypervisor has to answer."""
_NO_HOST: Final = "No valid host"
"""In the fault of a server for which Nova has found no hypervisor."""
KEYS_GRACE: Final = 120
"""Seconds in which a working cluster has to show some more of its nodes' host keys."""


def nothing(_: Sequence[Node], __: Sequence[str]) -> dict[str, str]:
    """Bring nothing: a golden image has everything in it."""
    return {}


def unheard(_: Sequence[Node]) -> None:
    """Nobody wants to be told."""


class UnbuiltError(ProvisionError):
    """VMs could not be built: they never ran, so nothing is lost when they are created again."""

    count: int = 1
    """How many."""


def _failure(name: str, failure: console.Failure) -> ProvisionError:
    hint = f"`openstack console log show {name}` shows the whole console. Once the cause is removed: "
    if failure.unit == INSTALL_UNIT:
        hint += "`provision up` again where a package source was away, else `provision down` first."
    else:
        hint += "`provision down`, then `provision up`."
    return ProvisionError(f"{name}: {failure.reason}", hint, "\n".join(failure.log))


class ReadinessWait:
    """Watches a cluster's nodes until every worker is registered and the Hub answers."""

    def __init__(
        self,
        cloud: Cloud,
        name: str,
        progress: Progress,
        *,
        nodes: int,
        spark: Callable[[Sequence[Node]], SparkMaster | None],
        hub_problem: Callable[[], str],
        bring: Callable[[Sequence[Node], Sequence[str]], dict[str, str]] = nothing,
        spark_works: Callable[[Sequence[Node]], object] = unheard,
        timeout: float = TIMEOUT,
        slowness: Callable[[], str] = str,
        spread: Spread = "off",
        host_keys: Mapping[str, tuple[str, ...]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Watch the cluster `name` of `nodes` nodes.

        `spark` asks the Spark master, given the nodes with what is known of their host keys, and returns None when it
        does not answer. `hub_problem` asks the Hub, and returns an empty text when it works. `bring` brings their
        software to nodes that wait for it, given all nodes and those ones' names, and returns what was in the way.
        `spark_works` is told once, with all nodes, when a job could run on every worker: the Hub may be late.
        `timeout`: seconds since the last state of a node that was new; a node that changes to and fro makes no
        progress. `slowness` says what slows the nodes, if anything does; `spread` is that of the spec, for what is said
        of a lack of hypervisors. `host_keys` are those that are known before, by server id.
        """
        self.cloud = cloud
        self.name = name
        self.progress = progress
        self._count = nodes
        self._ask_spark = spark
        self._ask_hub = hub_problem
        self._bring = bring
        self._spark_works = spark_works
        self._told = False
        """Whether it was told."""
        self._obstacles: dict[str, str] = {}
        """What was in the way of nodes' software."""
        self._timeout = timeout
        self._slowness = slowness
        self._spread = spread
        self._clock = clock
        self._sleep = sleep
        self._servers: tuple[Server, ...] = ()
        self._hub: Server | None = None
        """The one with the Hub."""
        self._ran: set[str] = set()
        """Servers that were seen to run."""
        self._building: frozenset[str] = frozenset()
        self._building_pace, self._servers_pace, self._consoles_pace = Pace(clock), Pace(clock), Pace(clock)
        self._reports: dict[str, console.ConsoleReport] = {}
        self._host_keys = dict(host_keys or {})
        """By server id."""
        self._restarted: set[str] = set()
        """Servers that were restarted since their kernel stood still."""
        self._round = 0
        """The last round in which consoles were read."""
        self._read: dict[str, int] = {}
        """The round in which a server's console was read last."""
        self._brought: dict[str, int] = {}
        """The last round before a server was brought its software."""
        self._asked = False
        """Whether Spark and the Hub were asked yet: before that nobody knows which nodes work."""
        self._registered: frozenset[str] = frozenset()
        self._hub_problem = "it was not asked yet"
        self._spark_seen = self._spark_answers = False
        self._began = self._progressed = self._keys_came = clock()
        self._known: set[tuple[str, str]] = set()
        """States in which nodes have been seen."""
        self._said = 0

    def run(self) -> tuple[Node, ...]:
        """Wait, then return the nodes with their host keys, the master first.

        Raises ProvisionError with the failing node's reason and last lines, or with what is missing at the time limit.
        """
        poll = partial(until, every=PAUSE, clock=self._clock, sleep=self._sleep)
        self._began = self._progressed = self._clock()
        while True:
            # `_look` ends the wait: its time limit moves with the nodes' progress.
            poll(self._check_ready, timeout=math.inf, too_late=self._too_late)
            if not self._host_keys_known():
                # A cluster that works does not wait for them for long: they are read again when they are needed.
                self._keys_came = self._clock()
                poll(self._check_host_keys, timeout=math.inf, too_late=self._too_late)
            if self._ready():
                return self._nodes()

    def _check_ready(self) -> Pending | None:
        self._look()
        return None if self._ready() else Pending("the cluster")

    def _check_host_keys(self) -> Pending | None:
        self._look()
        waits = self._ready() and not self._host_keys_known() and self._clock() - self._keys_came <= KEYS_GRACE
        return Pending("host keys") if waits else None

    def _look(self) -> None:
        """Ask the cloud, the nodes' consoles, Spark and the Hub once, and show what they say."""
        self._refresh_servers()
        self._read_consoles()
        self._bring_software()
        self._ask_services()
        self._tell()
        self._show()
        self._watch_progress()

    def _watch_progress(self) -> None:
        """Note what is new; after some time without, say what is waited for, and at the time limit give up."""
        states = {(server.name, self._state(server)) for server in self._servers} | {("the Hub", self._hub_problem)}
        now = self._clock()
        if states - self._known or self._ready():
            self._known |= states
            self._progressed, self._said = now, 0
            return
        quiet = now - self._progressed
        if quiet > self._timeout:
            raise self._too_late("")
        if quiet // QUIET > self._said:
            self._said = int(quiet // QUIET)
            waits = listed(f"{name} ({state})" for name, state in self._missing())
            slow = self._slowness()
            self.progress.update(
                "waiting", f"for {waits}, unchanged for {quiet / 60:.0f} minutes" + (f"; {slow}" if slow else "")
            )

    def _missing(self) -> list[tuple[str, str]]:
        """Return the nodes that are not ready, and their states."""
        return [(server.name, self._state(server)) for server in self._sorted() if not self._works(server)]

    def _refresh_servers(self) -> None:
        """List the servers again if they may have changed; while some are built, a cheaper request finds that out.

        Hundreds take the cloud seconds to list, which it had better build them in: they are asked for seldom. The last
        that is built is seen by the cheaper request, and has them listed at once.
        """
        if self._building:
            if not self._building_pace.due():
                return
            with self._building_pace.asked():
                # The project's other servers do not count.
                building = self.cloud.building() & {server.id for server in self._servers}
            if building == self._building and len(self._servers) >= self._count:
                return
            if building and not self._servers_pace.due():
                return
        elif self._ready() or not self._servers_pace.due():
            return
        # Also while nothing is built: a VM that stops while it boots is seen here, as is an address that came late.
        with self._servers_pace.asked():
            self._servers = self._list_servers()
        self._hub = with_hub(self._servers)
        self._building = frozenset(server.id for server in self._servers if server.status in BUILDING)

    def _list_servers(self) -> tuple[Server, ...]:
        servers = tuple(server for server in self.cloud.servers(self.name) if not server.deleting)
        if len(servers) > self._count:
            raise ProvisionError(
                f"cluster {self.name} has {len(servers)} servers instead of {self._count} by now: another "
                "`provision up` makes some too",
                "Run it again when that one has ended: it removes what is there twice.",
            )
        unbuilt = [server for server in servers if server.status == "ERROR" and not server.launched]
        if unbuilt and not any(server.status in BUILDING for server in servers):
            # Not before: others of the same request may still go the same way.
            raise self._unbuilt(unbuilt)
        for server in servers:
            if server.status == "ERROR" and server.launched:
                raise ProvisionError(*self._in_error(server))
            if server.status == "SHUTOFF" and server.id in self._ran:
                raise ProvisionError(
                    f"{server.name} switched itself off while it booted",
                    "Run `provision up` again: it starts the VM.",
                    "\n".join(console.tail(self.cloud.console_if_readable(server.id))),
                )
        self._ran |= {server.id for server in servers if server.status == "ACTIVE"}
        return servers

    def _unbuilt(self, servers: Sequence[Server]) -> UnbuiltError:
        # Of many the cloud says of some only why.
        first = next((server for server in servers if server.fault), servers[0])
        error = UnbuiltError(*self._in_error(first, servers))
        error.count = len(servers)
        return error

    def _in_error(self, server: Server, alike: Sequence[Server] = ()) -> tuple[str, str, str]:
        """Return an error's texts for a server in ERROR, which stands for others that are `alike`."""
        names = listed(one.name for one in alike or (server,))
        again = "Run `provision up` again: it creates the VM again."
        return (
            f"{names} went into ERROR: {server.fault or 'the cloud gave no reason'}",
            self._no_host_hint(server) if _NO_HOST in server.fault else again,
            "\n".join(console.tail(self.cloud.console_if_readable(server.id))),
        )

    def _no_host_hint(self, server: Server) -> str:
        if server.role == "worker" and self._spread == "require":
            return (
                "With `workers.spread: require` each worker needs a hypervisor of its own that has room. Ask for fewer "
                "workers or write `spread: prefer`, and run `provision up` again."
            )
        return (
            "No hypervisor has room for it, or none that fits its flavor, availability zone and server group. Choose "
            "others or have room made, and run `provision up` again."
        )

    def _read_consoles(self) -> None:
        """Read some consoles, each node's in its turn; seldom if that takes long while other nodes are still built.

        Those that nothing is known of come first.
        """
        if self._building and not self._consoles_pace.due():
            return
        unsettled = [
            server
            for server in self._servers
            if server.status == "ACTIVE"
            and not self._settled(server)
            and (self._asked or server.id not in self._host_keys)
        ]
        if not unsettled:
            return
        batch = sorted(unsettled, key=lambda server: self._read.get(server.id, -(server.id not in self._host_keys)))
        # The cloud had better build what is missing.
        batch = batch[: AT_ONCE if self._building else CONSOLES]
        self._round += 1
        with self._consoles_pace.asked():
            texts = each(lambda server: self.cloud.console(server.id), batch, at_once=AT_ONCE)
            for server, text in zip(batch, texts, strict=True):
                report = console.read(text)
                self._reports[server.id], self._read[server.id] = report, self._round
                if report.host_keys and report.host_keys != self._host_keys.get(server.id):
                    self._host_keys[server.id], self._keys_came = report.host_keys, self._clock()
                if report.failure and report.failure.ends(self._clock() - self._began):
                    raise _failure(server.name, report.failure)
                if report.stalled and server.id not in self._restarted:
                    self._restarted.add(server.id)
                    self.progress.update(server.name, "its kernel does not go on: restarting it")
                    self.cloud.restart_server(server.id)

    def _bring_software(self) -> None:
        """Bring their software to the nodes that wait for it; again once their consoles say so anew."""
        waiting = {
            server.name: server.id
            for server in self._sorted()
            if self._waits(server) and self._read[server.id] > self._brought.get(server.id, 0)
        }
        if waiting:
            self._brought |= dict.fromkeys(waiting.values(), self._round)
            obstacles = self._bring(self._nodes(), [*waiting])
            self._obstacles = {**self._obstacles, **dict.fromkeys(waiting, ""), **obstacles}

    def _waits(self, server: Server) -> bool:
        # The console of one that works is not read again: its last word may be an old one.
        report = self._reports.get(server.id)
        return report is not None and report.waiting and not self._works(server)

    def _ask_services(self) -> None:
        spark = self._ask_spark(self._nodes())
        self._spark_answers = spark is not None
        self._spark_seen = self._spark_seen or self._spark_answers
        self._registered = frozenset(spark.workers) if spark else frozenset()
        self._hub_problem = self._ask_hub()
        self._asked = True

    def _tell(self) -> None:
        """Tell, once, that a job could run. It runs from the node with the Hub: one that is no master has to work."""
        spark = len(self._servers) == self._count and all(
            self._works(each) or (each.role == "master" and self._spark_answers) for each in self._servers
        )
        if spark and not self._told and all(self._host_keys.get(each.id) for each in self._servers):
            self._told = True
            self._spark_works(self._nodes())

    def _works(self, server: Server) -> bool:
        if server is self._hub:
            return not self._hub_problem
        if server.role == "master":
            return self._spark_answers
        return bool(server.address) and server.address in self._registered

    def _settled(self, server: Server) -> bool:
        """Whether a node works and its host keys are known: there is nothing left to read on its console.

        Spark is asked over SSH. While it does not answer, a key that was known before may be that of a system which
        the node no longer has: rebuilt, it keeps its id, and its Hub answers.
        """
        confirmed = self._spark_answers or server.id in self._read
        return self._works(server) and confirmed and bool(self._host_keys.get(server.id))

    def _ready(self) -> bool:
        return len(self._servers) == self._count and all(self._works(server) for server in self._servers)

    def _state(self, server: Server) -> str:
        if self._works(server):
            words = {"master": "the Spark master answers", "worker": "registered"}
            return "the Hub answers" if server is self._hub else words.get(server.role, "")
        if server.status in BUILDING:
            return "building"
        if server.status != "ACTIVE":
            return server.status.lower()
        report = self._reports.get(server.id)
        phase = (report.phase if report else "") or console.BOOTING
        obstacle = self._obstacles.get(server.name) if self._waits(server) else ""
        return f"{phase}: {obstacle}" if obstacle else phase

    def _host_keys_known(self) -> bool:
        return all(self._settled(server) for server in self._servers)

    def _show(self) -> None:
        for server in self._sorted():
            self.progress.update(server.name, self._state(server))

    def _sorted(self) -> list[Server]:
        return sorted(self._servers, key=lambda server: (first_of(server.role), natural(server.name)))

    def _nodes(self) -> tuple[Node, ...]:
        return tuple(
            Node(
                server.name,
                server.role,
                server.address,
                server.id,
                server.status,
                self._host_keys.get(server.id, ()),
            )
            for server in self._sorted()
        )

    def _too_late(self, _: str) -> ProvisionError:
        missing = [f"{name}: {state}" for name, state in self._missing()]
        master = next((server for server in self._servers if server.role == "master"), None)
        ready = len(self._servers) - len(missing)
        detail = list(missing)
        if self._hub_problem:
            detail.append(f"the Hub: {self._hub_problem}")
        started = self._reports[master.id].started if master and master.id in self._reports else ()
        hint = "Run `provision up` again to continue waiting (`--timeout` gives it longer), or `provision down`."
        if "spark-master" in started and not self._spark_seen:
            hint = (
                "The Spark master reports that it runs, but this machine cannot ask it over SSH: check network.access, "
                "and firewalls on the way. " + hint
            )
        return ProvisionError(
            f"the cluster is not ready after {(self._clock() - self._began) / 60:.0f} minutes, the last "
            f"{self._timeout / 60:.0f} without progress: {self._count - ready} of {self._count} nodes are not ready",
            hint,
            "\n".join(detail),
        )
