"""How much memory and how many cores Spark gets, from the spec and the flavors.

The rules, in MiB:
- A worker offers Spark its RAM less 512 or a tenth, whichever is more: that is for the system, the worker's own JVM
  and Python. Its cores are its vCPUs.
- A notebook gets half of the cores, at most 4, and executors of half a worker's memory, at most 2048 MiB and at least
  Spark's minimum, unless the spec says otherwise: so two users can always work at the same time.
- A notebook's driver, on the master, gets an eighth of the master's RAM, at least 512 and at most 4096.
- A setting that no worker can satisfy is refused: Spark would accept the application and then wait for ever, with no
  other message than "Initial job has not accepted any resources".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.base.constants import SPARK_HEAP_LEAST
from provision.base.errors import UsageError
from provision.base.model import ClusterSpec, Flavor, Sizing

if TYPE_CHECKING:
    from collections.abc import Mapping

APP_CORES: Final = 4
"""A notebook's cores, by default at most."""
EXECUTOR_MEMORY: Final = 2048
"""MiB of an executor, by default at most."""
SYSTEM_AT_LEAST: Final = 512
"""MiB of a node that are not for Spark, at least."""
MASTER_AT_LEAST: Final = 1536
"""The Spark master, the Hub, its proxy, one notebook and a 512 MiB driver use about 850 MiB."""
_SYMPTOM: Final = "notebooks would wait for ever with “Initial job has not accepted any resources”"


def size(spec: ClusterSpec, flavors: Mapping[str, Flavor], source: str = "cluster.yaml") -> Sizing:
    """Work out a cluster's sizing from its two flavors. Raises UsageError that names `source` and the field."""
    master = _flavor(flavors, spec.master.flavor, f"{source}: master.flavor")
    worker = _flavor(flavors, spec.workers.flavor, f"{source}: workers.flavor")
    if master.ram < MASTER_AT_LEAST:
        raise UsageError(
            f"{source}: master.flavor: {master.name} has {master.ram} MiB of RAM, and the Spark master, the Hub and a "
            f"notebook need {MASTER_AT_LEAST}",
            f"Choose a larger one: {_larger(flavors, MASTER_AT_LEAST)}.",
        )
    worker_memory = worker.ram - max(SYSTEM_AT_LEAST, worker.ram // 10)
    if worker_memory < SPARK_HEAP_LEAST:
        needed = SPARK_HEAP_LEAST + SYSTEM_AT_LEAST
        raise UsageError(
            f"{source}: workers.flavor: {worker.name} has {worker.ram} MiB of RAM; the "
            f"{max(worker_memory, 0)} that are left for Spark are too few: an executor needs {SPARK_HEAP_LEAST}",
            f"Choose a larger one: {_larger(flavors, needed)}.",
        )
    executor_memory = _executor_memory(spec, worker, worker_memory, source)
    return Sizing(
        worker_cores=worker.vcpus,
        worker_memory=worker_memory,
        app_cores=_app_cores(spec, worker, source),
        executor_memory=executor_memory,
        driver_memory=_driver_memory(spec, master, source),
    )


def _executor_memory(spec: ClusterSpec, worker: Flavor, worker_memory: int, source: str) -> int:
    memory = spec.spark.executor_memory_mib
    if memory is None:
        return min(EXECUTOR_MEMORY, max(worker_memory // 2, SPARK_HEAP_LEAST))
    if memory > worker_memory:
        raise UsageError(
            f"{source}: spark.executor_memory: {memory} MiB is more than any worker can give: {worker.name} has "
            f"{worker.ram} MiB, and {worker_memory} are left for Spark; {_SYMPTOM}",
            f"Ask for {worker_memory}m or less, or choose a larger workers.flavor.",
        )
    return memory


def _app_cores(spec: ClusterSpec, worker: Flavor, source: str) -> int:
    total = worker.vcpus * spec.workers.count
    per_executor = dict(spec.spark.defaults).get("spark.executor.cores")
    if per_executor is not None:
        if not per_executor.isdigit() or int(per_executor) < 1:
            raise UsageError(
                f"{source}: spark.defaults.spark.executor.cores: {per_executor!r} is not a number of cores",
                f"Give a whole number up to {worker.vcpus}.",
            )
        if int(per_executor) > worker.vcpus:
            raise UsageError(
                f"{source}: spark.defaults.spark.executor.cores: {per_executor} is more than any worker can give: "
                f"{worker.name} has {worker.vcpus} vCPUs; {_SYMPTOM}",
                f"Ask for {worker.vcpus} or less, or choose a larger workers.flavor.",
            )
    least = int(per_executor or 1)
    cores = spec.spark.app_cores
    if cores is None:
        return min(max(APP_CORES, least), max(total // 2, least))
    if cores > total:
        raise UsageError(
            f"{source}: spark.app_cores: {cores} is more than the cluster has: {spec.workers.count} workers of "
            f"{worker.name} make {total} cores",
            f"Ask for {total} or less, more workers, or a larger workers.flavor.",
        )
    if cores < least:
        raise UsageError(
            f"{source}: spark.app_cores: {cores} is less than one executor takes "
            f"(spark.executor.cores {per_executor}); {_SYMPTOM}",
            f"Ask for {per_executor} or more.",
        )
    return cores


def _driver_memory(spec: ClusterSpec, master: Flavor, source: str) -> int:
    default = min(4096, max(512, master.ram // 8))
    memory = dict(spec.spark.defaults).get("spark.driver.memory")
    if memory is None:
        return default
    units = {"m": 1, "g": 1024}
    if not memory[:-1].isdigit() or memory[-1:].lower() not in units:
        raise UsageError(
            f"{source}: spark.defaults.spark.driver.memory: {memory!r} is not a memory size", "Write it as 512m or 2g."
        )
    mib = int(memory[:-1]) * units[memory[-1].lower()]
    if mib < SPARK_HEAP_LEAST or mib > master.ram - SYSTEM_AT_LEAST * 2:
        raise UsageError(
            f"{source}: spark.defaults.spark.driver.memory: {memory} does not fit: {master.name} has {master.ram} MiB, "
            f"1024 of them for the system, the Hub and the Spark master, and a driver needs {SPARK_HEAP_LEAST}",
            f"Ask for {SPARK_HEAP_LEAST}m to {master.ram - SYSTEM_AT_LEAST * 2}m, or choose a larger master.flavor.",
        )
    return mib


def _flavor(flavors: Mapping[str, Flavor], name: str, where: str) -> Flavor:
    if name in flavors:
        return flavors[name]
    known = ", ".join(sorted(flavors)) or "none"
    raise UsageError(f"{where}: the cloud has no flavor {name!r}", f"It has: {known}.")


def _larger(flavors: Mapping[str, Flavor], ram: int) -> str:
    fitting = sorted((flavor for flavor in flavors.values() if flavor.ram >= ram), key=lambda flavor: flavor.ram)
    return ", ".join(flavor.name for flavor in fitting[:5]) or f"the cloud has none with {ram} MiB"
