"""A cluster whose Hub has a node of its own: logins, notebooks, files and programs are there, the Spark master is not.

By itself: `E2E_HOME=/tmp/e2e pytest tests/e2e/test_hub_node.py -m e2e -x -s`; after an interrupted run it goes on.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from . import browser

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.acceptance]

SPEC = """\
name: apart
network: {cidr: 10.26.0.0/24}
master: {flavor: m1.small}
workers: {count: 1, flavor: m1.small}
hub: {on: node, flavor: m1.small, users: [{name: alice, admin: true}]}
"""
NODES = ["apart-master", "apart-hub", "apart-worker-1"]
HERE = "import socket; socket.gethostname()"
ON_WORKERS = """\
def here(_):
    import socket
    return socket.gethostname()
sorted(set(sc.parallelize(range(4), 4).map(here).collect()))
"""
WRITTEN_BY_EXECUTORS = """\
import os
spark.range(1000).write.mode("overwrite").parquet("/shared/numbers")
owners = {os.stat(f"/shared/numbers/{name}").st_uid for name in os.listdir("/shared/numbers")}
owners == {os.getuid()}, spark.read.parquet("/shared/numbers").count()
"""
PROGRAM = """\
import socket
from pyspark.sql import SparkSession
print(socket.gethostname(), SparkSession.builder.getOrCreate().range(1000).count())
"""
LONG = 7200


@pytest.fixture(scope="module")
def file(product) -> Path:
    """The file of the cluster, on a cloud that runs."""
    product.run("cloud", "up")
    made = product.folder / "apart.yaml"
    made.write_text(SPEC)
    return made


@pytest.fixture(scope="module")
def state(product, file) -> dict:
    """The state of the cluster, which is there."""
    product.run("up", "--yes", "--file", str(file), timeout=LONG)
    return json.loads(product.run("status", "--json", "--file", str(file)).stdout)


def password(product) -> str:
    text = (product.home / "state/provision/clusters/apart/passwords").read_text()
    return dict(line.split() for line in text.splitlines() if line and not line.startswith("#"))["alice"]


def test_it_cannot_be_had_with_monitoring(product, file) -> None:
    wrong = product.folder / "wrong.yaml"
    wrong.write_text(SPEC + "monitoring: true\n")
    assert "Keep one of the two" in product.run("plan", "--file", str(wrong), code=2).output


def test_up_makes_three_kinds_of_nodes(product, file, state) -> None:
    assert state["working"], state
    assert [node["name"] for node in state["nodes"]] == NODES
    assert [node["role"] for node in state["nodes"]] == ["master", "hub", "worker"]
    for words, name in (((), "apart-hub"), (("master",), "apart-master"), (("worker-1",), "apart-worker-1")):
        assert product.run("ssh", "--file", str(file), *words, "--", "hostname").stdout.strip() == name
    assert product.run("run", "--file", str(file), "--role", "hub", "--", "hostname").stdout.strip() == "apart-hub"


def test_the_checks_pass(product, file, state) -> None:
    report = json.loads(product.run("verify", "--json", "--file", str(file), code=None, timeout=LONG).stdout)
    assert report["failed"] == 0, [check for check in report["checks"] if not check["passed"]]
    found = product.run("doctor", "--file", str(file), code=None)
    assert found.code == 0, found.output


def test_a_notebook_computes(product, state, tmp_path) -> None:
    with browser.user_at(state["hub"]["url"], tmp_path) as page:
        browser.log_in(page, "alice", password(product))
        browser.open_pyspark(page)
        assert "apart-hub" in browser.run_cell(page, HERE)
        assert "499500" in browser.run_cell(page, "sc.parallelize(range(1000)).sum()")
        assert "apart-worker-1" in browser.run_cell(page, ON_WORKERS)
        assert "(True, 1000)" in browser.run_cell(page, WRITTEN_BY_EXECUTORS)
        # The kernel's share comes from the Spark master's page, on the other node.
        assert "10.26.0." in browser.run_cell(page, "sc.getConf().get('spark.provision.masterUi')")
        assert "app-" in browser.run_cell(page, "sc.applicationId")
        browser.shut_down_kernels(page, "alice")
        # Spark's pages: the master's on its node, and by the history server what the notebook has done.
        page.goto(state["spark"]["ui"] + "master/")
        page.wait_for_selector("text=Spark Master at spark://10.26.0.")
        page.goto(state["spark"]["ui"])
        page.wait_for_selector("text=by the history server")


def test_a_program_runs_on_the_hubs_node(product, file, state) -> None:
    program = product.folder / "where.py"
    program.write_text(PROGRAM)
    assert "apart-hub 1000" in product.run("submit", "--file", str(file), str(program), timeout=LONG).stdout


def test_the_hub_cannot_move(product, file, state) -> None:
    other = product.folder / "together.yaml"
    other.write_text(SPEC.replace("on: node, flavor: m1.small, ", ""))
    for words in (("plan",), ("up", "--yes", "--replace")):
        assert "hub.on: the Hub of this cluster" in product.run(*words, "--file", str(other), code=2).output


def test_a_second_up_changes_nothing(product, file, state) -> None:
    assert product.run("up", "--yes", "--file", str(file)).seconds < 60


def test_nothing_stays(product, file) -> None:
    product.run("down", "--yes", "--file", str(file))
    after = json.loads(product.run("status", "--json", "--file", str(file), code=None).stdout)
    assert not after["exists"]
    assert after["resources"] == []
