"""What a master gathers, as VictoriaMetrics is told."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import yaml

from provision.base.constants import NODE, PORTS
from provision.base.model import Addresses, ClusterSpec, Flavor, Node
from provision.base.paths import TEMPLATES
from provision.model.cluster.example import sizing
from provision.model.cluster.render import public_context
from provision.model.monitoring.cluster.jobs import JOBS, targets
from provision.model.templating import render_mapping

SPEC = ClusterSpec("a", monitoring=True)
NODES = (
    Node("a-master", "master", "10.20.0.10"),
    Node("a-worker-1", "worker", "10.20.0.11"),
    Node("a-worker-2", "worker", ""),
)


def context(spec=SPEC, nodes=NODES, role="master"):
    sizes = sizing(spec, "cluster.yaml", (Flavor("m1.small", 2, 2048, 20),))
    return public_context(spec, sizes, Addresses("10.20.0.10", "192.0.2.10"), role, nodes)


@pytest.fixture(name="told", scope="module")
def _told():
    found = yaml.safe_load(render_mapping("monitoring/scrape.yaml.j2", context()))
    return {each["job_name"]: each for each in found["scrape_configs"]}


def test_all_jobs_take_their_nodes_from_one_file_and_none_is_named_by_address(told):
    assert set(told) == {job.name for job in JOBS}
    for each in told.values():
        assert each["file_sd_configs"] == [{"files": [NODE.targets]}]
    assert set(re.findall(r"\d+\.\d+\.\d+\.\d+", str(told))) == {"127.0.0.1"}


def test_a_node_is_asked_on_the_job_s_port(told):
    (rule,) = told["node"]["relabel_configs"]
    assert re.sub(f"^{rule['regex']}$", rule["replacement"].replace("$1", r"\1"), "10.20.0.11") == "10.20.0.11:9100"
    assert next(each.get("regex") for each in told["spark-worker"]["relabel_configs"]) == "worker"
    assert told["hub"]["relabel_configs"][1]["replacement"] == f"127.0.0.1:{PORTS.hub_api}"


def test_what_tells_of_other_nodes_keeps_its_labels(told):
    """Else a worker's `address` would be `exported_address`, and its own the master's."""
    labels = json.loads(render_mapping("monitoring/targets.json.j2", context()))[0]["labels"]
    program = (TEMPLATES / "image/files/usr/local/lib/provision/spark-metrics").read_text()
    shared = {name for name in labels if re.search(rf"written\(.*\b{name}=", program)}
    assert shared == {"address"}
    assert [name for name, each in told.items() if each.get("honor_labels")] == ["spark-users"]


def test_the_hub_alone_is_shown_the_token(told):
    assert [name for name, each in told.items() if "authorization" in each] == ["hub"]


@pytest.mark.parametrize(
    ("job", "metric", "kept"),
    [
        ("spark-worker", "metrics_worker_coresUsed_Value", True),
        ("spark-worker", "metrics_worker_coresUsed_Number", False),
        ("spark-worker", "metrics_worker_CodeGenerator_compilationTime_Max", False),
        ("spark-master", "metrics_master_apps_Value", True),
        ("hub", "jupyterhub_running_servers", True),
        ("hub", "jupyterhub_request_duration_seconds_bucket", False),
    ],
)
def test_what_would_be_too_many_series_is_left_out(told, job, metric, kept):
    (rule,) = told[job]["metric_relabel_configs"]
    assert (re.fullmatch(rule["regex"], metric) is not None) == (kept == (rule["action"] == "keep"))


def test_the_targets_are_the_nodes_that_have_an_address():
    assert [each["name"] for each in targets(NODES)] == ["a-master", "a-worker-1"]
    written = json.loads(render_mapping("monitoring/targets.json.j2", context()))
    assert written[1] == {
        "targets": ["10.20.0.11"],
        "labels": {"instance": "a-worker-1", "role": "worker", "address": "10.20.0.11"},
    }


def test_before_the_first_boot_the_master_alone_is_known():
    (only,) = json.loads(render_mapping("monitoring/targets.json.j2", context(nodes=())))
    assert only["labels"]["instance"] == "a-master"


def test_a_worker_is_told_nothing_of_the_others_and_without_monitoring_nobody_is():
    assert set(context(role="worker")["monitoring"]) == {"on", "units"}
    assert context(replace(SPEC, monitoring=False))["monitoring"] == {"on": False}
