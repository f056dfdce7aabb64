"""A first job: a sum that is known beforehand, computed by every worker. Prints one JSON line {sum, hosts, seconds}."""

import json
import socket
import sys
import time

from pyspark.sql import SparkSession

WORKERS = int(sys.argv[1])
"""How many workers must take part."""
MEMORY = sys.argv[2]
"""What an executor takes: Spark's least, as 512m."""


def work(numbers):
    """Add up one partition, slowly enough that no executor does another's share."""
    time.sleep(1)
    yield socket.gethostname(), sum(numbers)


began = time.monotonic()
# One core on each worker: the master spreads an application over as many workers as it has cores. The job starts when
# every executor is there, and takes no more memory than Spark's least, so that it fits beside running notebooks.
spark = (
    SparkSession.builder.appName("provision-smoke")
    .config("spark.cores.max", WORKERS)
    .config("spark.executor.cores", 1)
    .config("spark.executor.memory", MEMORY)
    .config("spark.scheduler.minRegisteredResourcesRatio", 1)
    .config("spark.scheduler.maxRegisteredResourcesWaitingTime", "300s")
    .config("spark.eventLog.enabled", "false")
    .getOrCreate()
)
parts = spark.sparkContext.parallelize(range(1000), 2 * WORKERS).mapPartitions(work).collect()
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
spark.stop()
