"""How much memory and how many cores Spark gets, from the spec and the flavors.

The rules, in MiB:
- A worker offers Spark its RAM less 512 or a tenth, whichever is more: that is for the system, the worker's own JVM
  and Python. Its cores are its vCPUs.
- An executor takes half of a worker's vCPUs, at most 4, and memory in proportion, at most 2048 for each core and at
  most half of a worker's, unless the spec says otherwise: both are used up together, and a cluster has enough
  executors to be shared. Where only fewer fit, by the memory that the spec asks for, they share a worker's cores.
- A notebook begins with executors for as many cores as a worker has, at most 4 and at least 2, and takes what is free
  of its user's share (templates/hub/kernel/shares.py). A program of spark-submit takes as many as it begins with.
- A notebook's driver, on the master, gets an eighth of the master's RAM, at least 512 and at most 4096.
- The master keeps 1024 MiB, but no more than half, or a tenth if that is more, for the system, the Hub and Spark; three
  quarters of it are protected, so that nobody's notebook takes the daemons' own pages away. Of the rest a user may take
  half, for all notebooks, drivers and terminals; all of it where there is one user, and always as much as one notebook
  of the largest size needs. With monitoring it keeps 160 MiB more, and of many workers more than that
  (model/monitoring/cluster/gathering.py), if what is left is enough for a notebook.
- A setting that no worker can satisfy is refused: Spark would accept the application and then wait for ever.

Where the Hub has a node of its own (hub.on), all that is said of the master is that node's.

- The Spark master's heap is at most 256 MiB, and 1024 with more than 200 workers: then its node keeps 768 more.

Nothing else follows from the number of workers: with one more, the others need no other settings, and no restart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from provision.base.constants import PORTS, SPARK_HEAP_LEAST
from provision.base.errors import UsageError
from provision.base.model import ClusterSpec, Flavor, ServerSize, Sizing
from provision.model.monitoring.cluster.gathering import gathering

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST_CORES: Final = 4
"""Cores that a notebook begins with, by default at most."""
EXECUTOR_CORES: Final = 4
"""An executor's cores, by default at most."""
MEMORY_PER_CORE: Final = 2048
"""MiB of an executor for each of its cores, by default at most."""
DRIVER_AT_MOST: Final = 8192
"""MiB of a driver of the size `large`."""
SYSTEM_AT_LEAST: Final = 512
"""MiB of a node that are not for Spark, at least."""
MASTER_AT_LEAST: Final = 1536
"""The Spark master, the Hub, its proxy, one notebook and a 512 MiB driver use about 850 MiB."""
MASTER_ALONE: Final = 1024
"""The same of a master without the Hub: a JVM, whose heap is at most a quarter of it, and the system."""
MASTER_KEEPS: Final = 1024
"""MiB of the master that are not for notebooks, at least, if it has twice as much. Measured on one of 2048 MiB
without a notebook: the kernel and all daemons use 725, and 230 more are the files that they have mapped: less than that
in memory, and the node reads them from its disk again and again."""
MANY_WORKERS: Final = 200
"""Workers up to which the Spark master's heap is that of all daemons (image/files/usr/local/lib/provision/spark)."""
DAEMON_HEAP: Final = 256
"""MiB of that heap."""
LARGE_HEAP: Final = 1024
"""MiB of the heap of a Spark master with more: as Spark has it by default."""
NOTEBOOK: Final = 512
"""MiB of a notebook beside its driver's heap: JupyterLab, Python, and what a JVM takes outside of its heap."""
_SYMPTOM: Final = "notebooks would wait for ever for an executor"


def master_heap(workers: int) -> int:
    """Return the MiB of the Spark master's heap where it has another than other daemons, else 0."""
    return LARGE_HEAP if workers > MANY_WORKERS else 0


def size(spec: ClusterSpec, flavors: Mapping[str, Flavor], source: str = "cluster.yaml") -> Sizing:
    """Work out a cluster's sizing from its flavors. Raises UsageError that names `source` and the field."""
    more = LARGE_HEAP - DAEMON_HEAP if master_heap(spec.workers.count) else 0
    # What is said below of the master is the Hub's node's.
    master = _flavor(flavors, spec.hub_node.flavor, f"{source}: {spec.hub_role}.flavor")
    worker = _flavor(flavors, spec.workers.flavor, f"{source}: workers.flavor")
    if spec.hub.node:
        alone = _flavor(flavors, spec.master.flavor, f"{source}: master.flavor")
        _refuse_little(flavors, alone, MASTER_ALONE + more, "the Spark master needs", f"{source}: master.flavor")
    who = "the Hub and a notebook need" if spec.hub.node else "the Spark master, the Hub and a notebook need"
    here = 0 if spec.hub.node else more
    _refuse_little(flavors, master, MASTER_AT_LEAST + here, who, f"{source}: {spec.hub_role}.flavor")
    worker_memory = worker.ram - max(SYSTEM_AT_LEAST, worker.ram // 10)
    if worker_memory < SPARK_HEAP_LEAST:
        needed = SPARK_HEAP_LEAST + SYSTEM_AT_LEAST
        raise UsageError(
            f"{source}: workers.flavor: {worker.name} has {worker.ram} MiB of RAM; the "
            f"{max(worker_memory, 0)} that are left for Spark are too few: an executor needs {SPARK_HEAP_LEAST}",
            f"Choose a larger one: {_larger(flavors, needed)}.",
        )
    executor_cores = _executor_cores(spec, worker, worker_memory, source)
    most = spec.spark.app_cores or spec.spark.user_cores
    keeps = max(min(MASTER_KEEPS, (master.ram - here) // 2), master.ram // 10) + here
    first = max(min(FIRST_CORES, worker.vcpus), 2)
    driver_memory = _driver_memory(spec, master, source)
    users_memory = master.ram - keeps
    if spec.monitoring:
        # A master that is too small for both still has room for a notebook.
        users_memory = max(
            users_memory - gathering(spec.workers.count).memory, min(users_memory, driver_memory + NOTEBOOK)
        )
    sizing = Sizing(
        worker_cores=worker.vcpus,
        worker_memory=worker_memory,
        app_cores=most,
        executor_memory=_executor_memory(spec, worker, worker_memory, executor_cores, source),
        driver_memory=driver_memory,
        executor_cores=executor_cores,
        user_cores=spec.spark.user_cores,
        initial_executors=max(min(first, most or first) // executor_cores, 1),
        user_memory=0,
        users_memory=users_memory,
        daemons_memory=(master.ram - users_memory) * 3 // 4,
    )
    _refuse_limits(spec, worker, sizing, source)
    sizing = replace(sizing, sizes=_sizes(sizing, master))
    return replace(sizing, user_memory=_user_memory(spec, sizing, master, source))


def _user_memory(spec: ClusterSpec, sizing: Sizing, master: Flavor, source: str) -> int:
    together = sizing.users_memory
    _refuse_disk(spec, master, source)
    memory = spec.hub.limits.memory_mib
    if memory is None:
        largest = sizing.sizes[-1].driver_memory + NOTEBOOK
        return together if spec.hub.alone else min(max(together // 2, largest), together)
    least = sizing.driver_memory + NOTEBOOK
    if not least <= memory <= together:
        raise UsageError(
            f"{source}: hub.limits.memory: {memory} MiB is too {'little' if memory < least else 'much'}: a notebook "
            f"and its driver need {least}, and {master.name} has {together} for all users",
            f"Ask for {f'{least}m to ' if least < together else ''}{together}m, or choose another "
            f"{spec.hub_role}.flavor.",
        )
    return memory


def _refuse_disk(spec: ClusterSpec, master: Flavor, source: str) -> None:
    limit = spec.hub.limits.disk_mib
    # A flavor with a disk of 0 has what the image has: it is not known here.
    if limit is not None and 0 < master.disk * 1024 < limit:
        raise UsageError(
            f"{source}: hub.limits.disk: {limit} MiB is more than there is: {master.name} has a disk of "
            f"{master.disk * 1024} MiB",
            f"Ask for less, leave it out for no limit, or choose another {spec.hub_role}.flavor.",
        )


def _executor_memory(spec: ClusterSpec, worker: Flavor, worker_memory: int, cores: int, source: str) -> int:
    memory = spec.spark.executor_memory_mib
    if memory is None:
        share = min(MEMORY_PER_CORE * cores, worker_memory * cores // worker.vcpus, worker_memory // 2)
        return max(share, SPARK_HEAP_LEAST)
    if memory > worker_memory:
        raise UsageError(
            f"{source}: spark.executor_memory: {memory} MiB is more than any worker can give: {worker.name} has "
            f"{worker.ram} MiB, and {worker_memory} are left for Spark; {_SYMPTOM}",
            f"Ask for {worker_memory}m or less, or choose a larger workers.flavor.",
        )
    return memory


def _executor_cores(spec: ClusterSpec, worker: Flavor, worker_memory: int, source: str) -> int:
    asked = _cores(spec, "spark.executor.cores", worker, source)
    task = _cores(spec, "spark.task.cpus", worker, source) or 1
    if asked is not None:
        if task > asked:
            raise UsageError(
                f"{source}: spark.defaults.spark.task.cpus: {task} is more than an executor has "
                f"(spark.executor.cores {asked})",
                f"Ask for {asked} or less, or raise spark.executor.cores.",
            )
        return asked
    cores = max(min(EXECUTOR_CORES, worker.vcpus // 2), 1)
    memory = spec.spark.executor_memory_mib
    if memory is not None and memory <= worker_memory:
        # Fewer executors than cores would allow: the cores must not be left over.
        cores = max(cores, worker.vcpus // (worker_memory // memory))
    limits = [limit for limit in (spec.spark.app_cores, spec.spark.user_cores) if limit is not None]
    return max(min([cores, *limits]), task)


def _cores(spec: ClusterSpec, key: str, worker: Flavor, source: str) -> int | None:
    text = dict(spec.spark.defaults).get(key)
    if text is None:
        return None
    if not text.isdigit() or int(text) < 1:
        raise UsageError(
            f"{source}: spark.defaults.{key}: {text!r} is not a number of cores",
            f"Give a whole number up to {worker.vcpus}.",
        )
    if int(text) > worker.vcpus:
        raise UsageError(
            f"{source}: spark.defaults.{key}: {text} is more than any worker can give: "
            f"{worker.name} has {worker.vcpus} vCPUs; {_SYMPTOM}",
            f"Ask for {worker.vcpus} or less, or choose a larger workers.flavor.",
        )
    return int(text)


def _refuse_limits(spec: ClusterSpec, worker: Flavor, sizing: Sizing, source: str) -> None:
    """Refuse limits that the cluster cannot reach, that no executor fits below, or that contradict each other."""
    executor_cores, executor_memory, worker_memory = sizing.executor_cores, sizing.executor_memory, sizing.worker_memory
    app, user = spec.spark.app_cores, spec.spark.user_cores
    ports, executors = PORTS.retries + 1, min(worker.vcpus // executor_cores, worker_memory // executor_memory)
    if executors > ports:
        asked = "spark.executor.cores" in dict(spec.spark.defaults)
        field = "defaults.spark.executor.cores" if asked else "user_cores" if app is None else "app_cores"
        raise UsageError(
            f"{source}: spark.{field}: {executor_cores} make {executors} executors on a worker of {worker.name}, and "
            f"{ports} is the most: each has a port",
            f"Ask for {worker.vcpus // (ports + 1) + 1} or more.",
        )
    total = worker.vcpus * spec.workers.count
    for field, cores in (("app_cores", app), ("user_cores", user)):
        if cores is not None and cores > total:
            raise UsageError(
                f"{source}: spark.{field}: {cores} is more than the cluster has: {spec.workers.count} workers of "
                f"{worker.name} make {total} cores",
                f"Ask for {total} or less, more workers, or a larger workers.flavor.",
            )
        if cores is not None and cores < executor_cores:
            raise UsageError(
                f"{source}: spark.{field}: {cores} is less than one executor takes ({executor_cores}); {_SYMPTOM}",
                f"Ask for {executor_cores} or more.",
            )
    if app is not None and user is not None and app > user:
        raise UsageError(
            f"{source}: spark.app_cores: {app} is more than all notebooks of a user may take (spark.user_cores {user})",
            f"Ask for {user} or less, or raise spark.user_cores.",
        )
    most = (app or user or total) // executor_cores
    key = "spark.dynamicAllocation.minExecutors"
    text = dict(spec.spark.defaults).get(key, "0")
    if not text.isdigit():
        raise UsageError(
            f"{source}: spark.defaults.{key}: {text!r} is not a number of executors", "Give a whole number."
        )
    if int(text) > most:
        raise UsageError(
            f"{source}: spark.defaults.{key}: {text} executors are more than a notebook may have ({most})",
            f"Ask for {most} or less, or raise spark.app_cores.",
        )


def _sizes(sizing: Sizing, master: Flavor) -> tuple[ServerSize, ...]:
    """List what users choose from when they start a server, smallest first; one alone is no choice.

    Sizes differ by the driver's memory first of all: `medium` is the default, `small` has half of it, and no more cores
    than a notebook begins with; `large` has twice as
    much if that is at most a quarter of the master's RAM. A large one also has executors of twice the size, if a worker
    has room for two: one alone would wait long for a worker that nobody else uses.
    """
    medium = ServerSize(
        "medium", sizing.driver_memory, sizing.executor_memory, sizing.executor_cores, sizing.app_cores,
        sizing.initial_executors,
    )  # fmt: skip
    sizes = [medium]
    if sizing.driver_memory // 2 >= SPARK_HEAP_LEAST:
        cores = sizing.initial_executors * sizing.executor_cores
        sizes.insert(0, replace(medium, name="small", driver_memory=sizing.driver_memory // 2, cores=cores))
    if sizing.driver_memory * 2 <= min(master.ram // 4, DRIVER_AT_MOST):
        large = replace(medium, name="large", driver_memory=sizing.driver_memory * 2)
        cores, memory = sizing.executor_cores * 2, sizing.executor_memory * 2
        fits = cores * 2 <= sizing.worker_cores and memory * 2 <= sizing.worker_memory
        if fits and cores <= (sizing.app_cores or cores):
            first = max(sizing.initial_executors // 2, 1)
            large = replace(large, executor_cores=cores, executor_memory=memory, executors=first)
        sizes.append(large)
    return tuple(sizes)


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
            f"Ask for {SPARK_HEAP_LEAST}m to {master.ram - SYSTEM_AT_LEAST * 2}m, or choose a larger "
            f"{spec.hub_role}.flavor.",
        )
    return mib


def _refuse_little(flavors: Mapping[str, Flavor], flavor: Flavor, least: int, who: str, where: str) -> None:
    if flavor.ram < least:
        raise UsageError(
            f"{where}: {flavor.name} has {flavor.ram} MiB of RAM, and {who} {least}",
            f"Choose a larger one: {_larger(flavors, least)}.",
        )


def _flavor(flavors: Mapping[str, Flavor], name: str, where: str) -> Flavor:
    if name in flavors:
        return flavors[name]
    known = ", ".join(sorted(flavors)) or "none"
    raise UsageError(f"{where}: the cloud has no flavor {name!r}", f"It has: {known}.")


def _larger(flavors: Mapping[str, Flavor], ram: int) -> str:
    fitting = sorted((flavor for flavor in flavors.values() if flavor.ram >= ram), key=lambda flavor: flavor.ram)
    return ", ".join(flavor.name for flavor in fitting[:5]) or f"the cloud has none with {ram} MiB"
