"""Monitoring beside a real Consul and HAProxy: it finds what is in the catalogue, and tells what has gone from it."""

from __future__ import annotations

import pytest
import requests
import yaml
from docker.types import EndpointConfig

from provision.adapters.metrics import Metrics
from provision.base import paths
from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.render import documents
from provision.model.localcloud.settings import METRICS_USER, Settings
from provision.model.monitoring.answers import firing

from .world import READY_TIMEOUT, until

pytestmark = [pytest.mark.integration, pytest.mark.acceptance]

PORTS = {"monitoring": 8428, "monitoring-alerts": 8880, "monitoring-host": 9100, "monitoring-probe": 9115}
ALERT_TIMEOUT = 90
"""Seconds for an alert on a busy machine; it is promised within a minute."""


@pytest.fixture
def store(world, tmp_path):
    """Run monitoring as its Compose file has it, but for MariaDB's exporter; return its store."""
    for name, text in documents(Settings(), world.passwords).items():
        if name.startswith("monitoring/"):
            (tmp_path / name.partition("/")[2]).write_text(text)
    services = yaml.safe_load((paths.COMPOSE / "monitoring.yaml").read_text())["services"]
    made = {}
    for name, port in PORTS.items():
        aliases = EndpointConfig("1.41", aliases=[name])
        made[name] = world.start(
            name,
            "monitoring",
            services[name]["command"],
            labels=services[name]["labels"],
            ports={f"{port}/tcp": None},
            dns=[world.consul_address],
            environment={"RETENTION": "1d"},
            networking_config={world.run: aliases},
            volumes={str(tmp_path): {"bind": "/config", "mode": "ro"}},
        )
    url = f"http://{world.address(made['monitoring'])}:8428"
    until(lambda: all(world.passing(name) for name in PORTS), READY_TIMEOUT * 2, "monitoring in the catalogue")
    return Metrics.at(url, METRICS_USER, world.passwords["monitoring"]), url


def until_found(store, query):
    """Return what a query finds; what was just read can be asked for a second later."""
    until(lambda: store.query(query)["result"], READY_TIMEOUT, query)
    return store.query(query)["result"]


def answering(store):
    """Name the jobs and instances whose metrics are read."""
    try:
        found = store.targets()
    except ProvisionError:
        return set()
    return {each["labels"]["job"] for each in found if each["health"] == "up"}


def down(store):
    return {finding.where for finding in firing(store.alerts()) if finding.rule == "ServiceDown"}


def test_what_is_in_the_catalogue_is_asked_and_what_goes_is_told(world, store):
    proxy = world.start_haproxy()
    metrics, url = store
    try:
        until(lambda: {"haproxy", "consul", "host"} <= answering(metrics), ALERT_TIMEOUT, lambda: answering(metrics))
        (index,) = until_found(metrics, "consul_raft_applied_index")
        assert float(index["value"][1]) > 0
        (free,) = until_found(metrics, "node_filesystem_avail_bytes")
        assert float(free["value"][1]) > 0
        (proxy_up,) = until_found(metrics, 'up{job="haproxy"}')
        assert proxy_up["metric"]["instance"] == f"{world.run}-haproxy"
        # There is no MariaDB and no RabbitMQ here.
        until(lambda: {"the service mariadb", "the service rabbitmq"} <= down(metrics), ALERT_TIMEOUT)
        assert not down(metrics) & {"the service haproxy", "the service consul"}
        proxy.kill()
        took = until(lambda: "the service haproxy" in down(metrics), ALERT_TIMEOUT, "the alert")
        print(f"alert after {took:.0f} s")
        proxy.start()
        took = until(lambda: "the service haproxy" not in down(metrics), ALERT_TIMEOUT, "its end")
        print(f"gone after {took:.0f} s")
        with pytest.raises(UsageError, match="the query is wrong"):
            metrics.query("up up")
        # Nobody reads, writes or deletes without the password.
        for path in ("/api/v1/query?query=up", "/write", "/api/v1/admin/tsdb/delete_series", "/metrics"):
            assert requests.post(url + path, timeout=10).status_code == requests.codes.unauthorized, path
    finally:
        world.remove(proxy)
