"""Spark as a whole: who registered, with what, and a job that every worker takes part in."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from provision.operations.cluster import smoke_test

if TYPE_CHECKING:
    from conftest import Cluster, Look


@pytest.fixture(scope="module")
def spark(cluster: Cluster) -> dict[str, Any]:
    """What the Spark master says of itself."""
    said = cluster.looks[cluster.master["name"]]["spark-master"]
    assert said[0], f"{cluster.master['name']}: unit spark-master: its web page does not answer"
    found: dict[str, Any] = json.loads(said[0])
    return found


def test_master_is_alive(spark: dict[str, Any], cluster: Cluster) -> None:
    assert spark["status"] == "ALIVE"
    assert spark["url"] == cluster.context("master")["spark"]["master_url"]


def test_worker_is_registered(spark: dict[str, Any], cluster: Cluster, worker_look: Look) -> None:
    alive = {worker["host"]: worker for worker in spark["workers"] if worker["state"] == "ALIVE"}
    own = worker_look.address
    assert own in alive, f"{worker_look.name} is not registered with the Spark master: look at its unit spark-worker"
    offered = cluster.context("worker")["spark"]
    assert (alive[own]["cores"], alive[own]["memory"]) == (offered["worker_cores"], offered["worker_memory"])


def test_history_server_answers(master_look: Look) -> None:
    assert master_look["history"] == ["200"], f"unit spark-history answers {master_look['history']}"


def test_scratch_is_on_the_disk_and_open_to_drivers(look: Look) -> None:
    assert look["scratch"] == ["1770 spark spark", "ext4"], f"{look.name}: Spark's scratch is {look['scratch']}"


@pytest.fixture(scope="module")
def job(cluster: Cluster, spark: dict[str, Any]) -> Any:
    """The job that `provision up` runs too, on the workers that are there: it would wait for those that are not."""
    assert spark["aliveworkers"], "no worker is registered with the Spark master"
    said = cluster.host(cluster.master["name"]).run(shlex.join(smoke_test.command(spark["aliveworkers"])))
    assert said.rc == 0, f"the job failed on {cluster.master['name']}: {said.stderr[-1500:]}"
    return json.loads([line for line in said.stdout.splitlines() if line.startswith("{")][-1])


def test_job_computes_the_sum(job: Any) -> None:
    assert job["sum"] == smoke_test.SUM


def test_job_ran_on_worker(job: Any, worker_look: Look) -> None:
    assert worker_look.name in {host.partition(".")[0] for host in job["hosts"]}, (
        f"no part of the job ran on {worker_look.name}"
    )
