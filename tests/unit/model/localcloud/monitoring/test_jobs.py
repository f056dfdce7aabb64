"""What is gathered, as VictoriaMetrics is told."""

from __future__ import annotations

import re

import pytest
import yaml

from provision.base.constants import LOCALCLOUD_PORTS
from provision.model.localcloud.monitoring.jobs import jobs, probed, watched_apis
from provision.model.localcloud.render import documents
from provision.model.localcloud.settings import PASSWORDS, Settings

SECRETS = {name: f"the-{name}-SECRET" for name in PASSWORDS}


@pytest.fixture(name="told", scope="module")
def _told():
    found = yaml.safe_load(documents(Settings(), SECRETS)["monitoring/scrape.yaml"])
    return {each["job_name"]: each for each in found["scrape_configs"]}


def test_each_job_finds_its_instances_in_consul_and_nothing_is_named_by_address(told):
    for job in jobs(Settings()):
        (found,) = told[job.name]["consul_sd_configs"]
        assert found["services"] == [job.service]
        assert found["server"] == "consul.service.consul:8500"
    assert set(told) == {job.name for job in jobs(Settings())} | {"api"}
    assert not re.search(r"\d+\.\d+\.\d+\.\d+", str(told))


def test_consul_alone_is_shown_the_token_for_consul(told):
    assert [name for name, each in told.items() if "authorization" in each] == ["consul"]
    assert "SECRET" not in str(told)


@pytest.mark.parametrize(
    ("id_", "name"),
    [
        ("host:provision-rabbitmq-1:5672", "rabbitmq-1"),
        ("host:provision-mariadb-1:3306", "mariadb-1"),
        # With three members the id is the member's name.
        ("mariadb-2", "mariadb-2"),
    ],
)
def test_an_instance_is_called_by_its_container_s_name(told, id_, name):
    rule = told["mariadb"]["relabel_configs"][0]
    assert rule["target_label"] == "instance"
    assert re.fullmatch(rule["regex"], id_)[1] == name


def test_metrics_of_another_port_and_of_an_exporter_are_asked_for_there(told):
    (rule,) = (each for each in told["rabbitmq"]["relabel_configs"] if each.get("target_label") == "__address__")
    assert re.sub(rule["regex"], rule["replacement"].replace("$1", r"\1"), "10.0.0.7:5672") == (
        f"10.0.0.7:{LOCALCLOUD_PORTS.rabbitmq_metrics}"
    )
    targets = [each.get("target_label") for each in told["mariadb"]["relabel_configs"]]
    assert targets == ["instance", "__param_target", "__address__"]


@pytest.mark.parametrize(
    ("queue", "kept"),
    [("compute.compute-1", True), ("conductor", True), ("reply_0af", False), ("scheduler_fanout_1b", False)],
)
def test_queues_of_one_client_are_left_out(told, queue, kept):
    (rule,) = told["rabbitmq-queues"]["metric_relabel_configs"]
    assert (re.fullmatch(rule["regex"], queue) is None) == kept


def test_apis_are_asked_by_tls_and_horizon_s_absence_is_no_fault(told):
    urls = dict(probed(Settings()))
    assert urls["nova-api"] == "https://haproxy.service.consul:18774/"
    assert set(urls) == {"keystone", "glance", "placement", "nova-api", "neutron"}
    assert {api.name for api in watched_apis(Settings())} == set(urls) | {"nova-metadata"}
    told_urls = {each["labels"]["instance"]: each["targets"] for each in told["api"]["static_configs"]}
    assert told_urls == {name: [url] for name, url in urls.items()}
