"""Flavors and a spec -> what Spark gets."""

from __future__ import annotations

import pytest

from provision.base.errors import UsageError
from provision.base.model import ClusterSpec, Flavor, MasterSpec, Sizing, SparkSpec, WorkersSpec
from provision.model.cluster.sizing import size

FLAVORS = {
    flavor.name: flavor
    for flavor in (
        Flavor("tiny", 1, 512, 4),
        Flavor("least", 1, 1112, 4),
        Flavor("small", 1, 2048, 8),
        Flavor("medium", 2, 4096, 16),
        Flavor("huge", 16, 65536, 16),
    )
}


def spec(master="small", workers="small", count=2, **spark):
    return ClusterSpec("a", master=MasterSpec(master), workers=WorkersSpec(count, workers), spark=SparkSpec(**spark))


GOOD = {
    "default": (spec(), Sizing(1, 1536, 1, 768, 512)),
    "one worker": (spec(count=1), Sizing(1, 1536, 1, 768, 512)),
    "two side by side": (spec(workers="medium"), Sizing(2, 3584, 2, 1792, 512)),
    "no less than Spark's least": (spec(workers="least"), Sizing(1, 600, 1, 512, 512)),
    "no less than an executor": (
        spec(workers="huge", count=1, defaults=(("spark.executor.cores", "12"),)),
        Sizing(16, 58983, 12, 2048, 512),
    ),
    "a tenth of much": (spec(master="huge", workers="huge"), Sizing(16, 58983, 4, 2048, 4096)),
    "asked": (spec(workers="medium", app_cores=3, executor_memory_mib=3584), Sizing(2, 3584, 3, 3584, 512)),
    "driver's memory": (spec(defaults=(("spark.driver.memory", "1g"),)), Sizing(1, 1536, 1, 768, 1024)),
}


@pytest.mark.parametrize("case", GOOD)
def test_size(case):
    desired, sizing = GOOD[case]
    assert size(desired, FLAVORS) == sizing


BAD = {
    "memory": (spec(executor_memory_mib=1537), "spark.executor_memory: 1537 MiB is more than any worker", "1536m"),
    "cores": (spec(app_cores=3), "spark.app_cores: 3 is more than the cluster has", "2 or less"),
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
    "no flavor": (spec(workers="x"), "workers.flavor: the cloud has no flavor 'x'", "huge, least, medium, small, tiny"),
    "small worker": (spec(workers="tiny"), "workers.flavor: tiny has 512 MiB", "small, medium, huge"),
    "small master": (spec(master="tiny"), "master.flavor: tiny has 512 MiB", "small, medium, huge"),
}


@pytest.mark.parametrize("case", BAD)
def test_refused(case):
    desired, message, hint = BAD[case]
    with pytest.raises(UsageError) as caught:
        size(desired, FLAVORS, "c.yaml")
    assert caught.value.message.startswith("c.yaml: ")
    assert message in caught.value.message
    assert hint in caught.value.hint
    if case in {"memory", "executor's cores"}:
        assert "Initial job has not accepted any resources" in caught.value.message
