"""A cluster's monitoring: refused where it is off, and told which nodes there are."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from provision.adapters.remote import Remote
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import ClusterSpec, Node
from provision.model.monitoring.cluster.jobs import targets
from provision.operations import monitoring
from provision.operations.monitoring import dashboard, last_hour, refresh_targets, store, write_grafana

SPEC = ClusterSpec("a", monitoring=True)
NODES = (Node("a-master", "master", "10.20.0.10"), Node("a-worker-1", "worker", "10.20.0.11"))
HERE = Remote("here", ("sh", "-c"), sudo=False)


def cluster(spec=SPEC):
    context = {"monitoring": {"on": True, "nodes": targets(NODES)}}
    return SimpleNamespace(spec=spec, hub=NODES[0], nodes=NODES, hub_context=context, ssh_config="config")


@pytest.mark.parametrize("ask", [lambda spec: store(cluster(spec)).__enter__(), lambda spec: write_grafana(spec, None)])
def test_where_it_is_off_the_field_is_named(ask):
    with pytest.raises(UsageError, match="monitoring of cluster a is off") as caught:
        ask(replace(SPEC, monitoring=False))
    assert "`monitoring: true`" in caught.value.hint


def test_the_store_is_asked_on_the_master(monkeypatch):
    asked = []

    class FakeStore:
        def __init__(self, *words):
            asked.append(words)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            asked.append("closed")

        def get(self, path, parameters):
            return 200, json.dumps({"data": {"alerts": [path]}})

    monkeypatch.setattr(monitoring, "SshStore", FakeStore)
    with store(cluster()) as metrics:
        assert metrics.alerts() == ["/api/v1/alerts"]
    assert asked[0][:3] == ("config", NODES[0], 8429)
    assert asked[-1] == "closed"


def test_nodes_that_come_and_go_are_told_once(monkeypatch, tmp_path):
    monkeypatch.setattr(monitoring, "NODE", SimpleNamespace(targets=str(tmp_path / "targets.json")))
    assert [refresh_targets(cluster(), HERE) for _ in range(2)] == [True, False]
    told = json.loads((tmp_path / "targets.json").read_text())
    assert [each["labels"]["instance"] for each in told] == ["a-master", "a-worker-1"]


def test_a_master_that_cannot_be_told_is_an_error(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(monitoring, "NODE", SimpleNamespace(targets=str(tmp_path / "file/targets.json")))
    with pytest.raises(ProvisionError, match="could not be told which nodes"):
        refresh_targets(cluster(), HERE)


def test_grafana_keeps_its_password(tmp_path):
    write_grafana(SPEC, tmp_path)
    first = (tmp_path / "grafana.env").read_text()
    write_grafana(SPEC, tmp_path)
    assert (tmp_path / "grafana.env").read_text() == first
    assert first.startswith("GF_SECURITY_ADMIN_PASSWORD=")
    assert json.loads((tmp_path / "dashboards/provision-cluster.json").read_text())["title"] == "Cluster a"


def test_the_dashboard_says_whose_it_is():
    assert dashboard(SPEC).title == "Cluster a"


def test_the_last_hour_is_asked_or_says_why_not(monkeypatch):
    @contextmanager
    def working(_cluster):
        yield SimpleNamespace(
            query=lambda text: {"result": []},
            query_range=lambda text, start, end, step: [{"metric": {}, "values": [[start, "1"], [end, "3"]]}],
            alerts=list,
        )

    monkeypatch.setattr(monitoring, "store", working)
    found = last_hour(cluster())
    assert found["figures"][0] == {"what": "Cores in use", "least": "1", "mean": "2", "most": "3", "now": "3"}
    assert found["problem"] == ""

    def silent(_cluster):
        raise ProvisionError("monitoring does not answer")

    monkeypatch.setattr(monitoring, "store", silent)
    assert last_hour(cluster())["problem"] == "monitoring does not answer"
