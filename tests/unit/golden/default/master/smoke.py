"""A first job: a sum that is known beforehand, computed by every worker. Prints one JSON line {sum, hosts, seconds}."""

import json
import os
import socket
import sys
import time
from contextlib import suppress

from pyspark import SparkConf, SparkContext

WORKERS = int(sys.argv[1])
"""How many workers must take part."""
MEMORY = sys.argv[2]
"""What an executor takes: Spark's least, as 512m."""
PATIENCE = 300
"""Seconds to wait for an executor on every worker; then the job runs on those that are there."""


def work(numbers):
    """Add up one partition, slowly enough that no executor does another's share."""
    time.sleep(1)
    yield socket.gethostname(), sum(numbers)


began = time.monotonic()
# One core on each worker: the master spreads an application over as many workers as it has cores. The job takes no more
# memory than Spark's least, so that it fits beside running notebooks, and makes no SparkSession: SQL takes its time to start.
settings = {
    "spark.cores.max": WORKERS,
    "spark.executor.cores": 1,
    "spark.executor.memory": MEMORY,
    "spark.dynamicAllocation.enabled": "false",
    "spark.scheduler.minRegisteredResourcesRatio": 0,
    "spark.eventLog.enabled": "false",
    "spark.ui.enabled": "false",
}
sc = SparkContext(appName="provision-smoke", conf=SparkConf().setAll(settings.items()))
# Notebooks that hold more than their share give back what this job publishes that it wants (hub/kernel/shares.py). Without the
# folder, on a node of an older image, there is nothing to agree on.
wish = os.path.join(sc.getConf().get("spark.provision.shares"), sc.applicationId)
with suppress(OSError), open(wish, "w") as file:
    json.dump({"wants": WORKERS, "unit": 1, "leaving": 0, "elastic": False}, file)
# The driver's block manager is one of them.
registered = sc._jsc.sc().getExecutorMemoryStatus
while registered().size() <= WORKERS and time.monotonic() < began + PATIENCE:
    # Seldom where it takes long: on an emulated processor, to ask keeps a core busy that the executors could have.
    time.sleep(min(max(0.2, (time.monotonic() - began) / 20), 5))
parts = sc.parallelize(range(1000), 2 * WORKERS).mapPartitions(work).collect()
print(
    json.dumps(
        {
            "sum": sum(part for _, part in parts),
            "hosts": sorted({host for host, _ in parts}),
            "seconds": round(time.monotonic() - began, 1),
        }
    ),
    flush=True,
)
sc.stop()
with suppress(OSError):
    os.remove(wish)
