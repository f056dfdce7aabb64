"""`provision status --watch`: what goes on in a cluster, again and again, over one SSH connection to each node."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from provision.adapters.onnode import vitals
from provision.adapters.remote import over_ssh
from provision.base.constants import NODE, PORTS
from provision.base.errors import ProvisionError
from provision.base.threads import NODES_AT_ONCE, Turns
from provision.model.view.live import live_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from provision.adapters.remote import Remote
    from provision.base.model import Node
    from provision.model.view.live import LiveState
    from provision.operations.cluster.nodes import LiveCluster

_FIRST: Final = 20.0
"""Seconds that all nodes together have for their first word."""
_RETRY: Final = 5.0
"""Seconds between two tries to reach a node that was lost."""
_CLOUD_EVERY: Final = 15.0
"""Seconds between two questions to the cloud for the servers' statuses."""
_NOTEBOOKS: Final = "/sys/fs/cgroup/notebooks.slice"


def watch(cluster: LiveCluster, statuses: Callable[[], Mapping[str, str]], every: float) -> Iterator[LiveState]:
    """Yield the cluster's state every so many seconds, for ever.

    `statuses` asks the cloud for the status of each server by its name.
    """
    remotes = {node.name: over_ssh(cluster.ssh_config, node.name) for node in cluster.nodes}
    return _Watch(cluster, remotes, statuses, every).states()


def orders(cluster: LiveCluster, every: float) -> dict[str, dict[str, Any]]:
    """Return what each node is asked for, by its name."""
    spark = [f"http://{host}:{PORTS.spark_master_ui}/json/" for host in (cluster.addresses.master, "127.0.0.1")]
    hub = [f"http://127.0.0.1:{PORTS.hub_api}/hub/api", f"{NODE.hub_state}/operator.token"]
    more = {"spark": spark, "hub": hub, "notebooks": _NOTEBOOKS}
    return {node.name: {"every": every} | (more if node == cluster.hub else {}) for node in cluster.nodes}


class _Watch:
    def __init__(
        self,
        cluster: LiveCluster,
        remotes: Mapping[str, Remote],
        statuses: Callable[[], Mapping[str, str]],
        every: float,
    ) -> None:
        self._cluster = cluster
        self._remotes = remotes
        self._ask_cloud = statuses
        self._every = every
        self._orders = orders(cluster, every)
        self._statuses = {node.name: node.status for node in cluster.nodes}
        self._told: dict[str, dict[str, Any]] = {}
        self._lost: dict[str, str] = {}
        self._changed = threading.Condition()
        self._hub_is_there = threading.Event()
        self._turns = Turns(NODES_AT_ONCE)

    def states(self) -> Iterator[LiveState]:
        for node in self._cluster.nodes:
            threading.Thread(target=self._listen, args=(node,), daemon=True).start()
        threading.Thread(target=self._look, daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: len({*self._told, *self._lost}) == len(self._remotes), _FIRST)
        while True:
            yield self._state()
            time.sleep(self._every)

    def _state(self) -> LiveState:
        with self._changed:
            told, lost, statuses = dict(self._told), dict(self._lost), dict(self._statuses)
        nodes = [replace(node, status=statuses.get(node.name, "gone")) for node in self._cluster.nodes]
        silent = {node.name: "it has not answered yet" for node in nodes if node.name not in told}
        users = {user.name: user.admin for user in self._cluster.spec.hub.users}
        return live_state(self._cluster.spec.name, time.time(), nodes=nodes, users=users, told=told, lost=silent | lost)

    def _listen(self, node: Node) -> None:
        """Read what a node tells; when it is lost, try again for ever."""
        if node != self._cluster.hub:
            # The others' connections go through this one's.
            self._hub_is_there.wait(_FIRST)
        while True:
            self._turns.wait()
            try:
                why = self._hear(node)
            except OSError as error:  # so many connections that this machine has no files or processes left
                why = error.strerror or str(error)
            with self._changed:
                self._told.pop(node.name, None)
                self._lost[node.name] = why
                self._changed.notify_all()
            self._hub_is_there.set()
            time.sleep(_RETRY)

    def _hear(self, node: Node) -> str:
        """Read what a node tells until it ends; return why it has."""
        with self._remotes[node.name].start(vitals, self._orders[node.name]) as piped:
            for line in piped.output:
                self._note(node, line)
            result = piped.finish()
        lines = result.stderr.strip().splitlines()
        return lines[-1] if lines else f"it ended with {result.code}"

    def _note(self, node: Node, line: bytes) -> None:
        try:
            vitals_of_node = json.loads(line)
        except ValueError:
            return  # it was cut off with the connection
        with self._changed:
            self._told[node.name] = vitals_of_node
            self._lost.pop(node.name, None)
            self._changed.notify_all()
        self._hub_is_there.set()

    def _look(self) -> None:
        """Ask the cloud for the servers' statuses, for ever; while it does not answer, the last ones stay."""
        while True:
            with suppress(ProvisionError):
                statuses = dict(self._ask_cloud())
                with self._changed:
                    self._statuses = statuses
            time.sleep(_CLOUD_EVERY)
