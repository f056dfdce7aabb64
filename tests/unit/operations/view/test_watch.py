"""A cluster that is watched: what nodes tell, nodes that are lost, and the cloud's statuses."""

from __future__ import annotations

import json
import threading
import time
from types import SimpleNamespace

import pytest

from provision.adapters.host.process import Result
from provision.base.errors import ProvisionError
from provision.base.model import Addresses, ClusterSpec, Node
from provision.operations.view import watch as module
from provision.operations.view.watch import orders, watch

MACHINE = {"load": [1.0, 1.0, 1.0], "processors": 2, "memory": 9, "memory_free": 9, "disk": 9, "disk_free": 9}
SPARK = {"spark": {"status": "ALIVE", "workers": [], "activeapps": []}, "hub": {"users": []}}


class Remote:
    """A node whose connections tell what they are given; the last one stays open."""

    def __init__(self, *runs):
        self.runs, self.orders = list(runs), []

    def start(self, program, order):
        self.orders.append(order)
        return Connection(self.runs.pop(0) if self.runs else None)


class Connection:
    def __init__(self, lines):
        self.lines = lines

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @property
    def output(self):
        for line in self.lines or ():
            yield line if isinstance(line, bytes) else json.dumps(line).encode()
        if self.lines is None or (self.lines and self.lines[-1] is not None and self.lines != [b"half"]):
            threading.Event().wait()

    def finish(self):
        return Result((), 255, "", "Connection closed\n")


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(module, "_RETRY", 0.02)
    monkeypatch.setattr(module, "_CLOUD_EVERY", 0.02)
    nodes = (
        Node("analytics-master", "master", "10.0.0.1", status="ACTIVE"),
        Node("analytics-worker-1", "worker", "10.0.0.2", status="ACTIVE"),
    )
    addresses = Addresses("10.0.0.1", "192.0.2.1")
    return SimpleNamespace(
        spec=ClusterSpec("analytics"), nodes=nodes, hub=nodes[0], addresses=addresses, ssh_config="x"
    )


def all_active():
    return {"analytics-master": "ACTIVE", "analytics-worker-1": "ACTIVE"}


def start(cluster, monkeypatch, master, worker, statuses=all_active):
    remotes = {"analytics-master": master, "analytics-worker-1": worker}
    monkeypatch.setattr(module, "over_ssh", lambda config, name: remotes[name])
    return watch(cluster, statuses, 0.02)


def until(states, wanted):
    end = time.monotonic() + 10
    for state in states:
        if wanted(state):
            return state
        assert time.monotonic() < end, state
    return None


def test_the_master_alone_is_asked_for_spark_and_the_hub(cluster):
    asked = orders(cluster, 3.0)
    assert asked["analytics-worker-1"] == {"every": 3.0}
    assert asked["analytics-master"]["spark"][0] == "http://10.0.0.1:8080/json/"
    assert asked["analytics-master"]["hub"] == ["http://127.0.0.1:8091/hub/api", "/var/lib/jupyterhub/operator.token"]


def test_the_first_state_has_what_all_nodes_tell(cluster, monkeypatch):
    master = Remote([MACHINE | SPARK])
    state = next(start(cluster, monkeypatch, master, Remote([MACHINE])))
    assert [node.load for node in state.nodes] == [(1.0, 1.0, 1.0)] * 2
    assert [user.name for user in state.users] == ["alice"]
    assert len(master.orders) == 1


def test_a_node_that_is_lost_says_why_and_comes_back(cluster, monkeypatch):
    worker = Remote([b"half"], [MACHINE])
    states = start(cluster, monkeypatch, Remote([MACHINE | SPARK]), worker)
    state = until(states, lambda state: state.nodes[1].load)
    assert state.nodes[1].problem == ""
    assert len(worker.orders) == 2


def test_a_node_that_is_never_reached(cluster, monkeypatch):
    worker = Remote(*[[]] * 1000)
    state = next(start(cluster, monkeypatch, Remote([MACHINE | SPARK]), worker))
    assert state.nodes[1].problem == "Connection closed"


def test_a_node_for_which_this_machine_has_no_files_left(cluster, monkeypatch):
    class Full(Remote):
        def start(self, program, order):
            raise OSError(24, "Too many open files", "/tmp/x")

    state = next(start(cluster, monkeypatch, Remote([MACHINE | SPARK]), Full()))
    assert state.nodes[1].problem == "Too many open files"


def test_the_cloud_says_how_servers_are_and_may_be_silent(cluster, monkeypatch):
    answers = [ProvisionError("busy"), {"analytics-master": "ACTIVE"}]

    def statuses():
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, ProvisionError):
            raise answer
        return answer

    states = start(cluster, monkeypatch, Remote([MACHINE | SPARK]), Remote([MACHINE]), statuses)
    state = until(states, lambda state: state.nodes[1].status == "gone")
    assert state.nodes[0].status == "ACTIVE"
