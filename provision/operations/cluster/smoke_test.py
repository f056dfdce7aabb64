"""The smoke test: a real job on a live cluster. It ends `up`, and is one of the checks of `verify`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from provision.base.constants import NODE, SPARK_GROUP, SPARK_HEAP_LEAST
from provision.base.errors import ProvisionError
from provision.model.finding import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.base.progress import Progress
    from provision.operations.cluster.nodes import LiveCluster

EXPECTED_SUM: Final = 499500
"""The sum of range(1000), which the job computes."""
TIMEOUT: Final = 900
"""Seconds: the first job takes minutes on emulated nodes."""


@dataclass(frozen=True, slots=True)
class SmokeTestResult:
    """What the job printed."""

    sum: int
    hosts: tuple[str, ...]
    """Host names of the workers that took part."""
    seconds: float
    """The job's duration, measured by itself."""


def command(workers: int) -> list[str]:
    """Return the argument list that runs the job on the node with the Hub as the Spark account."""
    spark_submit = f"{NODE.spark_home}/bin/spark-submit"
    environment = [f"SPARK_CONF_DIR={NODE.spark_conf}", f"PYSPARK_PYTHON={NODE.venv}/bin/python"]
    # The node itself ends a job that hangs: a lost connection would leave it there with its cores.
    bounded = ["timeout", "--kill-after=10", str(TIMEOUT), "env", "-C", NODE.spark_work, *environment]
    return ["sudo", "-u", SPARK_GROUP, *bounded, spark_submit, NODE.smoke, str(workers), f"{SPARK_HEAP_LEAST}m"]


def smoke_test(cluster: LiveCluster, progress: Progress) -> str:
    """Run the job, and describe its result in one line.

    Raises ProvisionError unless it ends in time, with the right sum, and on every worker.
    """
    hub, workers = cluster.hub, [node.name for node in cluster.workers]
    # Not as a state of the node: that may still be on its way to another one.
    progress.update("job", f"{hub.name} runs sum(range(1000))")
    with cluster.fleet() as fleet:
        output = fleet.must(hub, command(len(workers)), what="The PySpark job", timeout=TIMEOUT + 60)
    result = read_result(output, workers)
    progress.update("job", f"{result.sum}, computed by {len(result.hosts)} workers")
    return f"sum(range(1000)) = {result.sum}, computed by {listed(result.hosts)} in {result.seconds:.0f} s"


def read_result(output: str, workers: Sequence[str]) -> SmokeTestResult:
    """Read the line of JSON in the job's output.

    Raises ProvisionError when it is missing, the sum is wrong, or a worker took no part.
    """
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if not lines:
        raise ProvisionError("the PySpark job ended without a result", "", output)
    data = json.loads(lines[-1])
    result = SmokeTestResult(int(data["sum"]), tuple(data["hosts"]), float(data["seconds"]))
    if result.sum != EXPECTED_SUM:
        raise ProvisionError(f"the PySpark job computed {result.sum} instead of {EXPECTED_SUM}", "", output)
    if idle := sorted(set(workers) - {host.partition(".")[0] for host in result.hosts}):
        raise ProvisionError(
            f"no part of the PySpark job ran on {listed(idle)}",
            "Notebooks may hold all its cores: the Spark UI shows which ones.",
        )
    return result
