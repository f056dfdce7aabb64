"""What each node is asked (adapters/onnode/look.py), and what is made of a node that does not answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from provision.adapters.onnode import contact, daemons, journal, look
from provision.base.constants import HUB_GROUP, METADATA_ADDRESS, NODE, PORTS
from provision.base.roles import with_hub
from provision.base.threads import NODES_AT_ONCE, each
from provision.model.doctor.observed import asked_of
from provision.model.doctor.words import RECENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from provision.adapters.host.process import Piped
    from provision.adapters.remote import Remote
    from provision.model.doctor.observed import ObservedNode

ANSWER_SECONDS: Final = 300
"""Seconds after which a node counts as silent: an emulated one that is busy takes minutes."""
_REACH_SECONDS: Final = 6
"""Seconds that a port has to answer."""
_KERNELS: Final = ["/usr/local/share/jupyter/kernels", f"{NODE.venv}/share/jupyter/kernels"]
_EVERYWHERE: Final = ("nftables", "provision-jvm", "systemd-networkd", "systemd-resolved", "systemd-timesyncd")
"""Units that all roles need besides those of templates/node/manifest.yaml."""
_Told = tuple[Mapping[str, Any], float, float, str]
"""A node's facts, how far its clock is ahead, how uncertain that is, and why there are none."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is the same for all nodes of a question."""

    nodes: tuple[ObservedNode, ...]
    units: Mapping[str, Sequence[str]]
    users: tuple[str, ...]
    hub_port: int
    salt: str
    """Random, in hex: with it the nodes hash the Spark secret, so that hashes can be compared in this run alone."""

    def order(self, node: ObservedNode) -> dict[str, Any]:
        """Return what look.py is given on a node."""
        master, hub = next((one for one in self.nodes if one.role == "master"), node), with_hub(self.nodes)
        return {
            "hub": node == hub,
            "worker": node.role == "worker",
            "units": list(self.units[node.role]),
            "paths": asdict(NODE),
            "salt": self.salt,
            "recent": RECENT,
            "disks": ["/", "/tmp", "/run"],  # noqa: S108 - asked about, not written to
            "mounts": [NODE.homes, NODE.shared],
            "metadata": METADATA_ADDRESS,
            "resolv": ["/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"],
            "names": ["localhost", "master"] if node.role == "worker" else ["localhost"],
            "reach": asked_of(node, self.nodes),
            "patience": _REACH_SECONDS,
            "spark": f"http://{master.address}:{PORTS.spark_master_ui}",
            "drivers": [((hub or node).address, PORTS.app_ui + more) for more in range(PORTS.retries + 1)],
            "hub_api": f"http://127.0.0.1:{PORTS.hub_api}",
            "hub_port": self.hub_port,
            "group": HUB_GROUP,
            "users": list(self.users),
            "kernels": _KERNELS,
            "own_kernels": f"{NODE.homes}/*/.local/share/jupyter/kernels",
        }


def units_of(role_units: Sequence[str], *, hub: bool) -> tuple[str, ...]:
    """Return the units that have to run on a node of a role; `hub`: on the one with the Hub."""
    served = ("nfs-server",) if hub else ()
    return (*_EVERYWHERE, *role_units, *served)


def ask(question: Question, remote: Callable[[str], Remote]) -> tuple[ObservedNode, ...]:
    """Ask all nodes, many at once; one that does not answer in time says why in `silent`.

    The node with the Hub first, until it answers: the connections to the others go through its.
    """
    asked = {node.name: node for node in question.nodes if node.status == "ACTIVE" and node.address}
    hub = with_hub(asked.values())
    started: dict[str, _Answer] = {}

    def start(node: ObservedNode) -> _Answer:
        started[node.name] = _Answer(remote(node.name), question.order(node))
        return started[node.name]

    def ask_one(name: str) -> _Told:
        # A program ends with the thread that has started it: this one waits for its answer.
        answer = started.get(name) or start(asked[name])
        told = answer.facts()
        started.pop(name).stop()
        return told

    try:
        if hub:
            start(hub).await_ready()
        facts = dict(zip(asked, each(ask_one, asked, at_once=NODES_AT_ONCE), strict=True))
    finally:
        for answer in list(started.values()):
            answer.stop()
    return tuple(_told(node, *facts[node.name]) if node.name in facts else node for node in question.nodes)


def _told(node: ObservedNode, facts: Mapping[str, Any], ahead: float, uncertain: float, silent: str) -> ObservedNode:
    return replace(node, facts=facts, ahead=ahead, uncertain=uncertain, silent=silent)


class _Answer:
    """A node's answer, as it comes."""

    def __init__(self, remote: Remote, order: Mapping[str, Any]) -> None:
        self._piped: Piped = remote.start(look, order, needs=[contact, daemons, journal])
        self._ready = False
        self._late = threading.Event()
        self._timer = threading.Timer(ANSWER_SECONDS, self._give_up)
        self._timer.daemon = True
        self._timer.start()

    def _give_up(self) -> None:
        self._late.set()
        self._piped.stop()

    def stop(self) -> None:
        self._timer.cancel()
        self._piped.stop()

    def await_ready(self) -> bool:
        if not self._ready:
            self._ready = self._line() == b"ready\n"
        return self._ready

    def _line(self) -> bytes:
        try:
            return self._piped.output.readline()
        except ValueError:  # it was stopped meanwhile
            return b""

    def facts(self) -> _Told:
        try:
            if self.await_ready():
                before = time.time()
                self._piped.feed.write(b"\n")
                self._piped.feed.flush()
                now = json.loads(self._line())["now"]
                after = time.time()
                facts: Mapping[str, Any] = json.loads(self._line())
                return facts, now - (before + after) / 2, (after - before) / 2, ""
        except (OSError, ValueError):
            pass  # it has ended, or was stopped: its result says why
        if self._late.is_set():
            return {}, 0.0, 0.0, f"there was no answer within {ANSWER_SECONDS} s"
        return {}, 0.0, 0.0, _last_line(self._piped.finish().stderr.splitlines()) or "the connection was closed"


def _last_line(lines: Iterable[str]) -> str:
    return next((line.strip() for line in reversed(list(lines)) if line.strip()), "")
