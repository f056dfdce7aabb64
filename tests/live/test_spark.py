"""Spark as a whole: registered workers, their resources, and a job on every worker."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from provision.operations.cluster import smoke_test

if TYPE_CHECKING:
    from conftest import Cluster, Probe


@pytest.fixture(scope="module")
def spark(cluster: Cluster) -> dict[str, Any]:
    """The state that the Spark master reports."""
    result = cluster.probes[cluster.master["name"]]["spark-master"]
    assert result[0], f"{cluster.master['name']}: unit spark-master: its web page does not answer"
    state: dict[str, Any] = json.loads(result[0])
    return state


def test_master_is_alive(spark: dict[str, Any], cluster: Cluster) -> None:
    assert spark["status"] == "ALIVE"
    assert spark["url"] == cluster.context(cluster.hub["role"])["spark"]["master_url"]


def test_worker_is_registered(spark: dict[str, Any], cluster: Cluster, worker_probe: Probe) -> None:
    alive = {worker["host"]: worker for worker in spark["workers"] if worker["state"] == "ALIVE"}
    own = worker_probe.address
    assert own in alive, f"{worker_probe.name} is not registered with the Spark master: look at its unit spark-worker"
    offered = cluster.context("worker")["spark"]
    assert (alive[own]["cores"], alive[own]["memory"]) == (offered["worker_cores"], offered["worker_memory"])


def test_history_server_answers(hub_probe: Probe) -> None:
    assert hub_probe["history"] == ["200"], f"unit spark-history, asked for, answers {hub_probe['history']}"


def test_scratch_is_on_the_disk_and_open_to_drivers(probe: Probe) -> None:
    assert probe["scratch"] == ["1771 spark spark", "ext4"], f"{probe.name}: Spark's scratch is {probe['scratch']}"


@pytest.fixture(scope="module")
def job(cluster: Cluster, spark: dict[str, Any]) -> Any:
    """The smoke test of `provision up`, on the registered workers only: it would wait for others."""
    assert spark["aliveworkers"], "no worker is registered with the Spark master"
    result = cluster.host(cluster.hub["name"]).run(shlex.join(smoke_test.command(spark["aliveworkers"])))
    assert result.rc == 0, f"the job failed on {cluster.hub['name']}: {result.stderr[-1500:]}"
    return json.loads([line for line in result.stdout.splitlines() if line.startswith("{")][-1])


def test_job_computes_the_sum(job: Any) -> None:
    assert job["sum"] == smoke_test.EXPECTED_SUM


def test_job_ran_on_worker(job: Any, worker_probe: Probe) -> None:
    assert worker_probe.name in {host.partition(".")[0] for host in job["hosts"]}, (
        f"no part of the job ran on {worker_probe.name}"
    )
