from __future__ import annotations

import json
import os
from importlib.util import module_from_spec, spec_from_file_location
from types import SimpleNamespace

import pytest

from provision.base import paths
from provision.base.progress import Silent
from provision.operations.cluster.nodes import find_live_cluster
from provision.operations.cluster.verify import VerifyCheck, VerifyReport, description, title, verify


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("live/test_nodes.py::test_unit_runs[a-worker-1 spark-worker]", "a-worker-1 spark-worker: unit runs"),
        ("live/test_spark.py::test_master_is_alive", "master is alive"),
        ("x.py::test_file_is_as_described[a-master /etc/a::b]", "a-master /etc/a::b: file is as described"),
    ],
)
def test_checks_have_readable_names(nodeid: str, expected: str) -> None:
    assert title(nodeid) == expected


def test_the_report_as_json() -> None:
    report = VerifyReport(
        [
            VerifyCheck("master is alive", passed=True, message="", seconds=0.123),
            VerifyCheck("java is 21", passed=False, message="it is 17", seconds=1),
        ],
        12.34,
    )
    assert report.as_data() == {
        "passed": 1,
        "failed": 1,
        "seconds": 12.3,
        "checks": [
            {"name": "master is alive", "passed": True, "message": "", "seconds": 0.12},
            {"name": "java is 21", "passed": False, "message": "it is 17", "seconds": 1},
        ],
    }


def test_the_suite_is_told_of_every_node_and_of_no_secret(make_site) -> None:
    site = make_site()
    site.up()
    told = description(find_live_cluster(site.spec, "cluster.yaml", site.cloud))
    assert [node["name"] for node in told["nodes"]] == ["analytics-master", "analytics-worker-1", "analytics-worker-2"]
    assert told["units"]["worker"][0] == "spark-worker"
    assert "/etc/spark/spark-defaults.conf" in {file["path"] for file in told["files"]["worker"]}
    assert told["hub_url"] == "https://172.29.0.100"
    secrets = json.loads((site.cluster_dir.folder / "secrets.json").read_text())
    text = json.dumps(told)
    assert secrets["spark_secret"] not in text
    assert "PRIVATE KEY" not in text
    assert "$6$" not in text


def test_options_of_a_persons_shell_are_for_other_suites(make_site, monkeypatch) -> None:
    site = make_site()
    site.up()
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    monkeypatch.setenv("PYTEST_PLUGINS", "no_such_plugin")
    seen = []
    monkeypatch.setattr(
        pytest, "main", lambda *_, **__: seen.extend(name for name in os.environ if name.startswith("PYTEST_A")) or 0
    )
    verify(find_live_cluster(site.spec, "cluster.yaml", site.cloud), Silent())
    assert seen == []
    assert (os.environ["PYTEST_ADDOPTS"], os.environ["PYTEST_PLUGINS"]) == ("--no-such-option", "no_such_plugin")


def test_a_users_notebook_that_has_failed_is_no_failure_of_the_cluster(make_site) -> None:
    site = make_site()
    site.up()
    told = description(find_live_cluster(site.spec, "cluster.yaml", site.cloud))
    spec = spec_from_file_location("live_test_nodes", paths.LIVE_TESTS / "test_nodes.py")
    checks = module_from_spec(spec)
    spec.loader.exec_module(checks)

    class Probe(dict):
        name = "a-master"

    cluster = SimpleNamespace(data=json.loads(json.dumps(told)))
    checks.test_no_unit_failed(cluster, Probe(failed=["notebook-alice.service", "job-train-1.service"]))
    with pytest.raises(AssertionError, match=r"failed units: cron\.service$"):
        checks.test_no_unit_failed(cluster, Probe(failed=["notebook-alice.service", "cron.service"]))
