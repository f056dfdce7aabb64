"""A Spark master's account of itself. Its page answers its own node, or the Hub's, alone: it is asked over SSH."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from provision.adapters.host.process import run
from provision.base.constants import PORTS

if TYPE_CHECKING:
    from pathlib import Path

    from provision.base.model import Node

CONNECT_SECONDS: Final = 15
"""Timeout for a connection while a node may still be booting: it is asked again soon."""
ANSWER_SECONDS: Final = 60
"""Timeout for the whole question, a key exchange on an emulated node among it."""


@dataclass(frozen=True, slots=True)
class SparkMaster:
    """What a Spark master says: addresses of live workers, and their cores and memory (MiB) in total."""

    workers: tuple[str, ...]
    cores: int
    memory: int
    applications: int


def ask_master(ssh_config: Path, master: Node, by: str) -> SparkMaster | None:
    """Ask the Spark master for its state, by way of the node `by`; None while it does not answer, or that does not.

    `by` is the node with the Hub: where that is another than the master's, its firewall lets that one in. A connection
    to the master itself would be a second one inside the first, and take twice as long while nodes boot.
    """
    # A channel of the connection and no program on the node: it is asked every few seconds while it boots.
    to = f"{master.address}:{PORTS.spark_master_ui}"
    argv = ["ssh", "-F", str(ssh_config), "-o", f"ConnectTimeout={CONNECT_SECONDS}", "-W", to, by]
    question = f"GET /json/ HTTP/1.0\r\nHost: {to}\r\nConnection: close\r\n\r\n"
    return read_answer(run(argv, stdin=question, timeout=ANSWER_SECONDS).stdout)


def read_answer(text: str) -> SparkMaster | None:
    """Read the answer to an HTTP/1.0 question, line ends as they may be; None if it is not a Spark master's."""
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    try:
        if head.split()[1] != "200":
            return None
        state = json.loads(body)
        alive = [worker for worker in state["workers"] if worker["state"] == "ALIVE"]
        return SparkMaster(
            workers=tuple(str(worker["host"]) for worker in alive),
            cores=int(state.get("cores", 0)),
            memory=int(state.get("memory", 0)),
            applications=len(state.get("activeapps", ())),
        )
    except (LookupError, ValueError, TypeError):
        return None
