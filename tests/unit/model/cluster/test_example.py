"""Documents without a cloud: every file of every role, with placeholders for what only a cloud knows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision.base.errors import UsageError
from provision.base.model import ClusterSpec, Flavor, SparkSpec, WorkersSpec
from provision.model.cluster.example import documents, sizing

FLAVORS = (Flavor("m1.small", 1, 2048, 8), Flavor("m1.tiny", 1, 512, 4))
SPEC = ClusterSpec("a")


def test_known_flavors_have_their_size():
    made = sizing(SPEC, "cluster.yaml", FLAVORS)
    assert (made.worker_cores, made.worker_memory) == (1, 1536)


def test_unknown_flavors_are_taken_to_have_4_cores_and_8_gib():
    made = sizing(replace(SPEC, workers=WorkersSpec(2, "huge")), "cluster.yaml", FLAVORS)
    assert (made.worker_cores, made.worker_memory) == (4, 8192 - 819)


def test_a_flavor_that_is_too_small_is_refused():
    with pytest.raises(UsageError, match=r"cluster\.yaml: workers\.flavor"):
        sizing(replace(SPEC, workers=WorkersSpec(2, "m1.tiny")), "cluster.yaml", FLAVORS)
    with pytest.raises(UsageError, match=r"spark\.app_cores"):
        sizing(replace(SPEC, spark=SparkSpec(app_cores=99)), "cluster.yaml", FLAVORS)


def test_documents_of_both_roles():
    made = documents(SPEC, "cluster.yaml", FLAVORS)
    assert {"master/user-data.yaml", "worker/user-data.yaml", "master/jupyterhub_config.py"} <= set(made)
    assert "EXAMPLE-SECRET" in made["worker/spark-defaults.conf"]
    assert "10.20.0.10" in made["worker/spark.env"]
