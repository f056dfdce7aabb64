"""What a cluster's nodes tell, put together."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from provision.base.model import Node
from provision.model.view.live import HubUser, NodeVitals, live_state

NODES = (
    Node("a-master", "master", "10.0.0.1", status="ACTIVE"),
    Node("a-worker-1", "worker", "10.0.0.2", status="ACTIVE"),
    Node("a-worker-2", "worker", "10.0.0.3", status="SHUTOFF"),
)
MACHINE = {
    "load": [1.5, 1.0, 0.5],
    "processors": 2,
    "memory": 2000,
    "memory_free": 1000,
    "disk": 8000,
    "disk_free": 5000,
}
WORKER = {"host": "10.0.0.2", "cores": 2, "coresused": 1, "memory": 1536, "memoryused": 768, "state": "ALIVE"}
APP = {
    "id": "app-1",
    "name": "two\nlines \x1b[2J",
    "user": "alice",
    "starttime": 5000,
    "cores": 1,
    "memoryperexecutor": 768,
    "state": "RUNNING",
}
ALICE = {
    "name": "alice",
    "admin": False,
    "last_activity": "2026-03-01T12:00:30.000000Z",
    "servers": [
        {"ready": True, "pending": None, "started": "2026-03-01T12:00:00Z"},
        {"ready": False, "pending": "spawn", "started": None},
    ],
}
MASTER = MACHINE | {
    "spark": {
        "status": "ALIVE",
        "workers": [WORKER, WORKER | {"host": "10.0.0.3", "state": "DEAD"}],
        "activeapps": [APP],
    },
    "hub": {"users": [ALICE]},
    "notebooks": {"notebook-alice": 300, "job-x-1": 9},
}


def state(told, lost=None):
    return live_state("a", 1000.0, nodes=NODES, users={"alice": False, "bob": True}, told=told, lost=lost or {})


def test_all_that_is_told_is_in_it():
    found = state({"a-master": MASTER, "a-worker-1": MACHINE}, {"a-worker-2": "Connection refused"})
    master, first, second = found.nodes
    assert (master.load, master.processors, master.registered, master.cores) == ((1.5, 1.0, 0.5), 2, None, None)
    assert (first.registered, first.cores, first.cores_used, first.spark_memory_used) == (True, 2, 1, 768)
    assert (second.registered, second.cores, second.memory, second.problem) == (False, None, None, "Connection refused")
    assert second.status == "SHUTOFF"
    assert (found.cores, found.spark_memory) == ((1, 2), (768, 1536))
    (app,) = found.applications
    assert (app.name, app.user, app.since, app.cores, app.executor_memory) == ("two lines", "alice", 5.0, 1, 768)
    alice, bob = found.users
    assert (alice.servers, alice.pending, alice.memory) == (1, "spawn", 300)
    assert alice.last_activity - alice.since == 30
    assert bob == HubUser("bob", admin=True)
    assert found.problems == ()


def test_what_cannot_be_asked_is_said_and_nothing_is_guessed():
    found = state({"a-master": MACHINE | {"spark": {"error": "refused"}, "hub": {"error": "timed out"}}})
    assert found.problems == ("The Spark master does not answer: refused.", "The Hub does not answer: timed out.")
    assert [node.registered for node in found.nodes] == [None, None, None]
    assert found.applications == ()
    assert [user.name for user in found.users] == ["alice", "bob"]


def test_without_the_master_nothing_is_known_of_workers():
    found = state({}, {"a-master": "lost"})
    assert {node.registered for node in found.nodes} == {None}
    assert found.cores == (0, 0)


def test_it_is_json_with_totals():
    data = json.loads(json.dumps(state({"a-master": MASTER}).as_data()))
    assert data["spark"] == {"cores": 2, "cores_used": 1, "memory": 1536, "memory_used": 768}
    assert data["users"][1] == asdict(HubUser("bob", admin=True))


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "SHUTOFF"},
        {"problem": "lost"},
        {"registered": False},
        {"load": (4.1, 0, 0)},
        {"memory_free": 49},
        {"disk_free": 0},
    ],
)
def test_who_is_in_trouble(wrong):
    well = NodeVitals("a", "worker", "ACTIVE", "", (4.0, 9, 9), 2, 1000, 50, 1000, 50, registered=True)
    assert not well.troubled
    assert replace(well, **wrong).troubled
