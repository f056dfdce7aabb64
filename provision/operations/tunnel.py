"""`tunnel`: Spark's own pages on this machine, through SSH to the Hub's node: the only way but the Hub's own."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from provision.adapters import net
from provision.adapters.host.process import Piped
from provision.adapters.onnode import contact, drivers
from provision.base.constants import PORTS
from provision.base.errors import ProvisionError, UsageError
from provision.operations.cluster import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from provision.adapters.remote import Remote
    from provision.operations.cluster.nodes import LiveCluster

DEFAULT: Final = ("master", "history")
"""What is opened if nothing is named."""
HUB: Final = "hub"
"""The Hub itself, for clusters whose Hub this machine does not reach otherwise."""
HUB_PORT: Final = 8443
"""Where it is on this machine, if that is free."""
APPS: Final = "apps"
"""Stands for every running application's page."""
_READY: Final = b"ready\n"
_START: Final = 300
"""Seconds that the history server has to start: on an emulated node that is busy it takes minutes."""


@dataclass(frozen=True, slots=True)
class Application:
    """A running application, as its driver describes it."""

    port: int
    id: str
    name: str
    user: str


@dataclass(frozen=True, slots=True)
class Forward:
    """A page: what it is, where the Hub's node reaches it, and its port on this machine."""

    title: str
    address: str
    port: int
    local: int
    scheme: str = "http"

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        return f"{self.scheme}://127.0.0.1:{self.local}"


def find_applications(master: Remote, address: str) -> list[Application]:
    """Return the running applications on a master. Raises ProvisionError when it cannot be asked."""
    order = {"address": address, "first": PORTS.app_ui, "last": PORTS.app_ui + PORTS.retries}
    with master.start(drivers, order, needs=[contact]) as piped:
        result = piped.finish()
    if not result.ok:
        raise ProvisionError(
            f"{master.name} cannot be asked for its applications",
            "`provision status` shows its state.",
            result.stderr,
        )
    return [Application(**each) for each in json.loads(result.stdout)]


def choose(
    cluster: LiveCluster,
    names: Sequence[str],
    applications: Callable[[], Sequence[Application]],
    free_port: Callable[[int], int] = net.free_port,
) -> list[Forward]:
    """Return what the named services are; a page gets the port here that it has there, or another if that is taken.

    `applications` is asked only if it has to be. Raises UsageError for a name that is no service.
    """
    master, hub = cluster.master.address, cluster.hub.address
    known = {
        "master": ("Spark master", master, PORTS.spark_master_ui),
        "history": ("history server", hub, PORTS.spark_history),
        HUB: ("the Hub", hub, cluster.spec.hub.port),
    }
    if cluster.spec.monitoring:
        known["metrics"] = ("store of metrics", "127.0.0.1", PORTS.metrics)
    for worker in cluster.workers:
        short = worker.name.removeprefix(f"{cluster.spec.name}-")
        known[short] = known[worker.name] = (worker.name, worker.address, PORTS.spark_worker_ui)
    wanted: dict[tuple[str, int], str] = {}
    for name in names or DEFAULT:
        if name in known:
            title, address, port = known[name]
            wanted[address, port] = title
            continue
        running = {app.id: app for app in applications()}
        if name != APPS and name not in running:
            services = [
                *DEFAULT,
                HUB,
                APPS,
                *(each for each in known if each.startswith("worker-") or each == "metrics"),
                *running,
            ]
            raise UsageError(f"there is no service {name!r}", f"It has: {', '.join(services)}.")
        for app in running.values() if name == APPS else [running[name]]:
            wanted[hub, app.port] = f"{app.id}, {app.user}'s {app.name}"
    if not wanted:
        raise UsageError("no application runs", "`provision tunnel history` shows ended ones.")
    taken: set[int] = set()
    forwards = []
    for (address, port), title in wanted.items():
        of_hub = port == cluster.spec.hub.port
        # A user's own programs have no port below 1024.
        local = free_port(HUB_PORT if of_hub and port < 1024 else 0 if port in taken else port)
        taken.add(local)
        forwards.append(Forward(title, address, port, local, "https" if of_hub else "http"))
    return forwards


def asks_history(forwards: Sequence[Forward]) -> bool:
    """Whether the history server is among them: it runs only once somebody has asked for it."""
    return any(each.port == PORTS.spark_history for each in forwards)


def start_history(cluster: LiveCluster) -> None:
    """Start the history server, and wait until it answers. Raises ProvisionError if it does not."""
    url = f"http://{cluster.hub.address}:{PORTS.spark_history}/"
    wait = f"curl -sS -o /dev/null --retry {_START} --retry-delay 1 --retry-max-time {_START} --retry-connrefused {url}"
    with Piped(run.ssh_argv(cluster, cluster.hub, [f"sudo systemctl start spark-history && {wait}"])) as piped:
        result = piped.finish()
    if not result.ok:
        raise ProvisionError(
            "the history server does not start", "`provision logs spark-history` says why.", result.stderr
        )


def ssh_argv(cluster: LiveCluster, forwards: Sequence[Forward]) -> list[str]:
    """Return the OpenSSH command line that holds the forwards, and says when they are there."""
    # A connection of its own: a shared one would keep the forwards after this has ended.
    options = ["ControlMaster=no", "ControlPath=none", "ExitOnForwardFailure=yes", "PermitLocalCommand=yes"]
    argv = ["ssh", "-F", str(cluster.ssh_config), "-N"]
    for option in [*options, f"LocalCommand=echo {_READY.decode().strip()}"]:
        argv += ["-o", option]
    for each in forwards:
        argv += ["-L", f"127.0.0.1:{each.local}:{each.address}:{each.port}"]
    return [*argv, cluster.hub.name]


@contextmanager
def opened(cluster: LiveCluster, forwards: Sequence[Forward]) -> Iterator[Callable[[], None]]:
    """Open the forwards; give a function that returns never, and raises ProvisionError when the connection is lost."""
    with Piped(ssh_argv(cluster, forwards)) as piped:
        if piped.output.readline() != _READY:
            raise ProvisionError(
                f"no tunnel to {cluster.hub.name}",
                "`provision ssh` shows whether it answers.",
                piped.finish().stderr,
            )

        def hold() -> None:
            piped.output.read()
            raise ProvisionError(
                f"the connection to {cluster.hub.name} was lost", "Run it again.", piped.finish().stderr
            )

        yield hold
