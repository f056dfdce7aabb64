"""What is gathered for a report, and what is said of nodes that tell nothing."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from provision.adapters.host.process import Result
from provision.adapters.openstack.details import ServerTimes
from provision.base.model import ClusterSpec, Node
from provision.base.progress import Silent
from provision.model.cluster.resources import ObservedCluster, Server
from provision.model.view import report as model
from provision.operations.view import report as module
from provision.operations.view.report import report

NODES = (
    Node("a-master", "master", "10.0.0.1", "m", "ACTIVE"),
    Node("a-worker-1", "worker", "10.0.0.2", "w1", "ACTIVE"),
    Node("a-worker-2", "worker", "10.0.0.3", "w2", "SHUTOFF"),
    Node("a-worker-3", "worker", "10.0.0.4", "w3", "ACTIVE"),
)
TOLD = {"a-master": json.dumps({"kernel": 1.0}), "a-worker-1": "", "a-worker-3": "half {"}


class Remote:
    def __init__(self, name, asked):
        self.name, self.asked = name, asked

    def start(self, program, order):
        self.asked.append((self.name, order))
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def finish(self):
        return Result((), 255, TOLD[self.name], "banner\nConnection refused\n" if self.name == "a-worker-1" else "")


@pytest.fixture
def gathered(monkeypatch):
    """Returns what the page was made of, and what nodes were asked."""
    given, asked = [], []
    cluster = SimpleNamespace(
        nodes=NODES, hub=NODES[0], ssh_config="x", cluster_dir=SimpleNamespace(secret_values=lambda: {"one", "two"})
    )
    monkeypatch.setattr(module, "find_live_cluster", lambda *_: cluster)
    monkeypatch.setattr(module, "status", lambda *_: {"working": True})
    monkeypatch.setattr(module, "server_times", lambda *_: {"m": ServerTimes("then", "later")})
    monkeypatch.setattr(module, "image_name", lambda cloud, image: "")
    monkeypatch.setattr(module, "over_ssh", lambda config, name: Remote(name, asked))
    monkeypatch.setattr(module, "page", lambda report: given.append(report) or "<html>")
    return given, asked


def test_all_is_gathered_and_nodes_that_tell_nothing_say_why(gathered):
    given, asked = gathered
    cloud = SimpleNamespace(
        observe=lambda name, about: ObservedCluster(servers=(Server("m", "a-master", "master", image="img-1"),)),
        flavors=dict,
        place=lambda: SimpleNamespace(auth_url="https://cloud"),
    )
    checks = SimpleNamespace(as_data=lambda: {"passed": 3})
    assert report(cloud, ClusterSpec("a"), "cluster.yaml", Silent(), checks) == "<html>"
    (found,) = given
    assert [(boot.node.name, boot.told, boot.problem) for boot in found.boots] == [
        ("a-master", {"kernel": 1.0}, ""),
        ("a-worker-1", None, "Connection refused"),
        ("a-worker-2", None, "its server is SHUTOFF"),
        ("a-worker-3", None, "it ended with 255"),
    ]
    assert (found.boots[0].created, found.boots[0].launched, found.boots[1].created) == ("then", "later", "")
    # An image that is gone is shown by its id.
    assert (found.image, found.cloud, found.checks) == ("img-1", "https://cloud", {"passed": 3})
    assert found.secrets == {"one", "two"}
    assert asked[0][0] == "a-master"
    assert asked[0][1]["packages"] == model.PACKAGES


@pytest.mark.parametrize("on", [True, False])
def test_the_last_hour_is_there_where_monitoring_is_on(gathered, monkeypatch, on):
    given, _ = gathered
    monkeypatch.setattr(module, "last_hour", lambda cluster: {"figures": []})
    cloud = SimpleNamespace(
        observe=lambda name, about: ObservedCluster(),
        flavors=dict,
        place=lambda: SimpleNamespace(auth_url="https://cloud"),
    )
    report(cloud, ClusterSpec("a", monitoring=on), "cluster.yaml", Silent())
    assert given[0].hour == ({"figures": []} if on else None)
