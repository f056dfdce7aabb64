"""A real job on a live cluster: the last step of `up`, and one of the checks of `verify`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from provision.base.constants import NODE, SPARK_GROUP, SPARK_HEAP_LEAST
from provision.base.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.adapters.ssh import Fleet
    from provision.base.model import Node

SUM: Final = 499500
"""What sum(range(1000)) is."""
SECONDS: Final = 900
"""Emulated nodes take minutes for a first job."""


@dataclass(frozen=True, slots=True)
class Smoke:
    """What the job brought back: its sum, the host names that took part, and its own time in seconds."""

    sum: int
    hosts: tuple[str, ...]
    seconds: float


def command(workers: int) -> list[str]:
    """Return the argument list that runs the job on the master as the Spark account."""
    spark_submit = f"{NODE.spark_home}/bin/spark-submit"
    environment = [f"SPARK_CONF_DIR={NODE.spark_conf}", f"PYSPARK_PYTHON={NODE.venv}/bin/python"]
    # The node itself ends a job that hangs: a lost connection would leave it there with its cores.
    bounded = ["timeout", "--kill-after=10", str(SECONDS), "env", "-C", NODE.spark_work, *environment]
    return ["sudo", "-u", SPARK_GROUP, *bounded, spark_submit, NODE.smoke, str(workers), f"{SPARK_HEAP_LEAST}m"]


def smoke(fleet: Fleet, master: Node, workers: Sequence[Node]) -> Smoke:
    """Run the job; raises ProvisionError unless it ends in time, with the right sum, on every worker."""
    said = fleet.must(master, command(len(workers)), what="The PySpark job", timeout=SECONDS + 60)
    return judge(said, [node.name for node in workers])


def judge(said: str, workers: Sequence[str]) -> Smoke:
    """Read the job's one line of JSON; raises ProvisionError when it is not what it has to be."""
    lines = [line for line in said.splitlines() if line.startswith("{")]
    if not lines:
        raise ProvisionError("the PySpark job ended without a result", "", said)
    read = json.loads(lines[-1])
    found = Smoke(int(read["sum"]), tuple(read["hosts"]), float(read["seconds"]))
    if found.sum != SUM:
        raise ProvisionError(f"the PySpark job computed {found.sum}, and it is {SUM}", "", said)
    if idle := sorted(set(workers) - {host.partition(".")[0] for host in found.hosts}):
        raise ProvisionError(
            f"no part of the PySpark job ran on {', '.join(idle)}",
            "Notebooks may hold all its cores: `provision status` shows who does.",
        )
    return found
