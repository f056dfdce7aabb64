"""Flavors and a spec -> what Spark gets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision.base.errors import UsageError
from provision.base.model import ClusterSpec, Flavor, HubSpec, Limits, MasterSpec, SparkSpec, User, WorkersSpec
from provision.model.cluster.sizing import NOTEBOOK, master_heap, size

FLAVORS = {
    flavor.name: flavor
    for flavor in (
        Flavor("tiny", 1, 512, 4),
        Flavor("least", 1, 1112, 4),
        Flavor("small", 1, 2048, 8),
        Flavor("medium", 2, 4096, 16),
        Flavor("large", 4, 8192, 16),
        Flavor("huge", 16, 65536, 16),
        Flavor("wide", 201, 262144, 16),
        Flavor("diskless", 16, 131072, 0),
    )
}


def spec(master="small", workers="small", count=2, **spark):
    return ClusterSpec("a", master=MasterSpec(master), workers=WorkersSpec(count, workers), spark=SparkSpec(**spark))


# A worker's cores and memory, the limits of a notebook and of a user, the driver's memory; an executor's cores and
# memory, and how many executors a notebook begins with.
GOOD = {
    "default": (spec(), (1, 1536, None, None, 512), (1, 768, 2)),
    "as for one worker": (spec(count=1), (1, 1536, None, None, 512), (1, 768, 2)),
    "as for many": (spec(count=99), (1, 1536, None, None, 512), (1, 768, 2)),
    "as many executors as ports": (
        spec(workers="wide", defaults=(("spark.executor.cores", "2"),)),
        (201, 235930, None, None, 512),
        (2, 2347, 2),
    ),
    "two executors on a worker": (spec(workers="medium"), (2, 3584, None, None, 512), (1, 1792, 2)),
    "of two cores": (spec(workers="large"), (4, 7373, None, None, 512), (2, 3686, 2)),
    "no less than Spark's least": (spec(workers="least"), (1, 600, None, None, 512), (1, 512, 2)),
    "as many cores as asked": (
        spec(workers="huge", count=1, defaults=(("spark.executor.cores", "14"),)),
        (16, 58983, None, None, 512),
        (14, 28672, 1),
    ),
    "no less than a task": (
        spec(workers="large", count=1, defaults=(("spark.task.cpus", "3"),)),
        (4, 7373, None, None, 512),
        (3, 3686, 1),
    ),
    "a tenth of much": (spec(master="huge", workers="huge"), (16, 58983, None, None, 4096), (4, 8192, 1)),
    "asked": (
        spec(workers="medium", app_cores=3, user_cores=4, executor_memory_mib=1024),
        (2, 3584, 3, 4, 512),
        (1, 1024, 2),
    ),
    "a user's limit is a notebook's": (spec(workers="medium", user_cores=3), (2, 3584, 3, 3, 512), (1, 1792, 2)),
    "a small limit makes small executors": (spec(workers="large", user_cores=1), (4, 7373, 1, 1, 512), (1, 1843, 1)),
    "large executors take the cores that would be left over": (
        spec(workers="large", executor_memory_mib=4096),
        (4, 7373, None, None, 512),
        (4, 4096, 1),
    ),
    "driver's memory": (spec(defaults=(("spark.driver.memory", "1g"),)), (1, 1536, None, None, 1024), (1, 768, 2)),
}


@pytest.mark.parametrize("case", GOOD)
def test_size(case):
    desired, cluster, executor = GOOD[case]
    made = size(desired, FLAVORS)
    assert (made.worker_cores, made.worker_memory, made.app_cores, made.user_cores, made.driver_memory) == cluster
    assert (made.executor_cores, made.executor_memory, made.initial_executors) == executor


@pytest.mark.parametrize("workers", ["small", "medium", "large", "huge"])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_what_is_offered_can_be_had(workers, count):
    made = size(spec(master="huge", workers=workers, count=count), FLAVORS)
    assert made.worker_cores // made.executor_cores * made.executor_memory <= made.worker_memory
    for each in made.sizes:
        assert each.executor_cores <= made.worker_cores
        assert each.executor_memory <= made.worker_memory
        assert each.cores is None or each.executors * each.executor_cores <= each.cores


SIZES = {
    "one alone": ("small", "medium", {"medium": (512, 1, None, 2)}),
    "no small one": ("medium", "medium", {"medium": (512, 1, None, 2), "large": (1024, 1, None, 2)}),
    "three": ("large", "medium", {"small": (512, 1, 2, 2), "medium": (1024, 1, None, 2), "large": (2048, 1, None, 2)}),
    "larger executors": (
        "huge",
        "huge",
        {"small": (2048, 4, 4, 1), "medium": (4096, 4, None, 1), "large": (8192, 8, None, 1)},
    ),
}


@pytest.mark.parametrize("case", SIZES)
def test_sizes(case):
    """Driver's memory, an executor's cores, a notebook's cores, and executors that it begins with."""
    master, workers, expected = SIZES[case]
    made = size(spec(master=master, workers=workers), FLAVORS).sizes
    assert {
        each.name: (each.driver_memory, each.executor_cores, each.cores, each.executors) for each in made
    } == expected
    assert [each.name for each in made] == [*expected]


BAD = {
    "more executors than ports by a notebook's cores": (
        spec(workers="wide", app_cores=1),
        "spark.app_cores: 1 make 201 executors on a worker of wide",
        "Ask for 2",
    ),
    "more executors than ports": (
        spec(workers="wide", defaults=(("spark.executor.cores", "1"),)),
        "spark.executor.cores: 1 make 201 executors on a worker of wide, and 100 is the most: each has a port",
        "Ask for 2 or more.",
    ),
    "too little for a notebook": (
        replace(spec(), hub=HubSpec(limits=Limits(600))),
        "hub.limits.memory: 600 MiB is too little: a notebook and its driver need 1024",
        "Ask for 1024m, or",
    ),
    "more than there is": (
        replace(spec(), hub=HubSpec(limits=Limits(1281))),
        "hub.limits.memory: 1281 MiB is too much",
        "Ask for 1024m, or",
    ),
    "memory": (spec(executor_memory_mib=1537), "spark.executor_memory: 1537 MiB is more than any worker", "1536m"),
    "cores": (spec(app_cores=3), "spark.app_cores: 3 is more than the cluster has", "2 or less"),
    "a user's cores": (spec(user_cores=3), "spark.user_cores: 3 is more than the cluster has", "2 or less"),
    "a notebook's above a user's": (
        spec(app_cores=2, user_cores=1),
        "spark.app_cores: 2 is more than all notebooks of a user may take",
        "1 or less",
    ),
    "a user's below an executor's": (
        spec(workers="medium", user_cores=1, defaults=(("spark.executor.cores", "2"),)),
        "spark.user_cores: 1 is less than one executor takes",
        "2 or more",
    ),
    "a task's cores": (
        spec(workers="medium", defaults=(("spark.executor.cores", "1"), ("spark.task.cpus", "2"))),
        "spark.task.cpus: 2 is more than an executor has",
        "1 or less",
    ),
    "a task's cores above a worker's": (
        spec(defaults=(("spark.task.cpus", "2"),)),
        "spark.task.cpus: 2 is more than any worker",
        "1 or less",
    ),
    "a task's cores above the limit": (
        spec(workers="large", app_cores=2, defaults=(("spark.task.cpus", "3"),)),
        "spark.app_cores: 2 is less than one executor takes",
        "3 or more",
    ),
    "executors that nobody gets": (
        spec(defaults=(("spark.dynamicAllocation.minExecutors", "3"),)),
        "spark.dynamicAllocation.minExecutors: 3 executors are more than a notebook may have (2)",
        "2 or less",
    ),
    "executors, no number": (
        spec(defaults=(("spark.dynamicAllocation.minExecutors", "x"),)),
        "'x' is not a number of executors",
        "whole number",
    ),
    "executor's cores": (
        spec(defaults=(("spark.executor.cores", "2"),)),
        "spark.executor.cores: 2 is more than any worker",
        "1 or less",
    ),
    "executor's cores, no number": (
        spec(defaults=(("spark.executor.cores", "x"),)),
        "not a number of cores",
        "up to 1",
    ),
    "fewer than an executor": (
        spec(workers="medium", app_cores=1, defaults=(("spark.executor.cores", "2"),)),
        "spark.app_cores: 1 is less than one executor takes",
        "2 or more",
    ),
    "driver too large": (spec(defaults=(("spark.driver.memory", "2g"),)), "spark.driver.memory: 2g", "1024m"),
    "driver too small": (spec(defaults=(("spark.driver.memory", "100m"),)), "spark.driver.memory: 100m", "512m"),
    "driver no size": (spec(defaults=(("spark.driver.memory", "much"),)), "not a memory size", "512m"),
    "no flavor": (
        spec(workers="x"),
        "workers.flavor: the cloud has no flavor 'x'",
        "huge, large, least, medium, small, tiny",
    ),
    "small worker": (spec(workers="tiny"), "workers.flavor: tiny has 512 MiB", "small, medium, large, huge"),
    "small master": (spec(master="tiny"), "master.flavor: tiny has 512 MiB", "small, medium, large, huge"),
}


def test_with_a_hub_of_its_own_its_flavor_is_what_users_share():
    together = size(spec("large"), FLAVORS)
    apart = replace(spec("least"), hub=HubSpec(node=MasterSpec("large")))
    assert size(apart, FLAVORS) == together
    with pytest.raises(UsageError, match=r"hub\.flavor: tiny has 512 MiB of RAM, and the Hub and a notebook need 1536"):
        size(replace(apart, hub=HubSpec(node=MasterSpec("tiny"))), FLAVORS)
    with pytest.raises(UsageError, match=r"master\.flavor: tiny has 512 MiB of RAM, and the Spark master needs 1024"):
        size(replace(apart, master=MasterSpec("tiny")), FLAVORS)
    much = replace(apart, hub=HubSpec(node=MasterSpec("large"), limits=Limits(memory_mib=99999)))
    with pytest.raises(UsageError, match=r"hub\.limits\.memory") as caught:
        size(much, FLAVORS)
    assert "hub.flavor" in caught.value.hint


def test_disk_of_a_user_fits_the_flavor():
    size(replace(spec(), hub=HubSpec(limits=Limits(disk_mib=8192))), FLAVORS, "c.yaml")
    size(replace(spec("diskless"), hub=HubSpec(limits=Limits(disk_mib=8193))), FLAVORS, "c.yaml")
    with pytest.raises(UsageError) as caught:
        size(replace(spec(), hub=HubSpec(limits=Limits(disk_mib=8193))), FLAVORS, "c.yaml")
    assert caught.value.message.startswith("c.yaml: hub.limits.disk: 8193 MiB is more than there is: small has")
    assert "Ask for less" in caught.value.hint


# RAM of the master in MiB, its users, and what one of them and all of them may take.
SHARES = {
    "one user has all": ("small", ("alice",), (1024, 1024)),
    "no less than one notebook": ("small", ("alice", "bob"), (1024, 1024)),
    "two have half each": ("medium", ("alice", "bob"), (1536, 3072)),
    "more have half too": ("large", ("alice", "bob", "carol"), (3584, 7168)),
    "the master keeps a tenth of much": ("huge", ("alice",), (58983, 58983)),
}


@pytest.mark.parametrize("case", SHARES)
def test_memory_of_users(case):
    master, names, expected = SHARES[case]
    desired = replace(spec(master), hub=HubSpec(users=tuple(User(name) for name in names)))
    sizing = size(desired, FLAVORS, "c.yaml")
    assert (sizing.user_memory, sizing.users_memory) == expected
    assert sizing.user_memory >= sizing.sizes[-1].driver_memory + NOTEBOOK


def test_memory_of_a_user_as_asked():
    assert size(replace(spec(), hub=HubSpec(limits=Limits(1024))), FLAVORS, "c.yaml").user_memory == 1024


@pytest.mark.parametrize("case", BAD)
def test_refused(case):
    desired, message, hint = BAD[case]
    with pytest.raises(UsageError) as caught:
        size(desired, FLAVORS, "c.yaml")
    assert caught.value.message.startswith("c.yaml: ")
    assert message in caught.value.message
    assert hint in caught.value.hint
    if case in {"memory", "executor's cores"}:
        assert "wait for ever" in caught.value.message


def test_a_spark_master_of_many_workers_has_a_larger_heap():
    few, many = (size(spec("huge", "huge", count), FLAVORS) for count in (200, 201))
    assert (master_heap(200), master_heap(201), master_heap(1000)) == (0, 1024, 1024)
    assert few.users_memory - many.users_memory == 768
    assert many.daemons_memory - few.daemons_memory == 768 * 3 // 4
    apart = HubSpec(node=MasterSpec("huge"))
    assert size(replace(spec("large", "huge", 1000), hub=apart), FLAVORS).users_memory == few.users_memory
    least = {name: Flavor(name, 1, 1536, 8) for name in ("small",)} | {"huge": FLAVORS["huge"]}
    for desired in (spec("small", "huge", 201), replace(spec("small", "huge", 201), hub=apart)):
        assert size(replace(desired, workers=WorkersSpec(200, "huge")), least)
        with pytest.raises(UsageError, match="has 1536 MiB of RAM, and the Spark master"):
            size(desired, least)


@pytest.mark.parametrize(("master", "taken"), [("small", 0), ("medium", 160), ("large", 160)])
def test_monitoring_takes_from_notebooks_what_a_notebook_can_spare(master, taken):
    without, watched = size(spec(master), FLAVORS), size(replace(spec(master), monitoring=True), FLAVORS)
    assert without.users_memory - watched.users_memory == taken
    assert watched.users_memory >= watched.driver_memory + NOTEBOOK
    assert watched.daemons_memory == without.daemons_memory + taken * 3 // 4
