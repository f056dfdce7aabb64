"""What is asked of the cloud and the nodes, and what becomes of a node that does not answer."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from provision.adapters import net
from provision.adapters.cluster_dir import ClusterDir
from provision.adapters.host.process import Result
from provision.base.constants import PORTS
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import ClusterSpec, MasterSpec, WorkersSpec
from provision.model.doctor.observed import ObservedNode
from provision.model.doctor.rules import diagnose
from provision.operations.doctor import examine as module
from provision.operations.doctor import job, questions
from provision.operations.doctor.questions import Question, ask

NODES = (
    ObservedNode("a-master", "master", "10.20.0.10"),
    ObservedNode("a-worker-1", "worker", "10.20.0.11"),
    ObservedNode("a-worker-2", "worker", "", status="BUILD"),
)
QUESTION = Question(NODES, {"master": ("x",), "worker": ("y",)}, ("alice",), 443, "00")


class Node:
    """A Remote whose program answers with what it is given."""

    def __init__(self, name, lines, error=""):
        self.name, self.lines, self.error = name, lines, error
        self.orders, self.stopped = [], 0

    def start(self, module, order, *, needs):
        self.orders.append(json.loads(json.dumps(order)))
        self.feed, self.output = io.BytesIO(), io.BytesIO(b"".join(self.lines))
        return self

    def finish(self):
        return Result((), 255, "", self.error)

    def stop(self):
        self.stopped += 1


def answer(ahead=0.0, **facts):
    return [b"ready\n", json.dumps({"now": time.time() + ahead}).encode() + b"\n", json.dumps(facts).encode() + b"\n"]


def test_each_node_is_asked_and_its_clock_compared():
    remotes = {
        "a-master": Node("a-master", answer(python="3")),
        "a-worker-1": Node("a-worker-1", answer(100.0, python="4")),
    }
    master, worker, unbuilt = ask(QUESTION, remotes.get)
    assert (master.facts, worker.facts, unbuilt.facts) == ({"python": "3"}, {"python": "4"}, {})
    assert abs(master.ahead) < 5
    assert 95 < worker.ahead < 105
    (order,) = remotes["a-worker-1"].orders
    assert (order["hub"], order["worker"], order["units"]) == (False, True, ["y"])
    assert ["10.20.0.10", PORTS.spark_master] in order["reach"]
    assert all(remote.stopped for remote in remotes.values())


def test_a_node_that_breaks_off_says_why():
    remotes = {
        "a-master": Node("a-master", answer(python="3")),
        "a-worker-1": Node("a-worker-1", [b"ready\n"], "x\nssh: connect to host: No route to host\n\n"),
    }
    _, worker, _ = ask(QUESTION, remotes.get)
    assert worker.silent == "ssh: connect to host: No route to host"
    remotes["a-worker-1"] = Node("a-worker-1", [])
    assert ask(QUESTION, remotes.get)[1].silent == "the connection was closed"


def test_a_node_that_takes_too_long_is_ended(monkeypatch):
    monkeypatch.setattr(questions, "ANSWER_SECONDS", 0.2)

    class Slow(Node):
        def start(self, module, order, *, needs):
            super().start(module, order, needs=needs)
            self.output = self
            return self

        def readline(self):
            while not self.stopped:
                time.sleep(0.05)
            return b""

    remotes = {"a-master": Slow("a-master", []), "a-worker-1": Node("a-worker-1", answer(python="3"))}
    master, worker, _ = ask(QUESTION, remotes.get)
    assert master.silent == "there was no answer within 0.2 s"
    assert worker.answers


# --- the cloud


@pytest.fixture
def world(make_site, monkeypatch):
    """A cluster on the fake cloud, whose nodes answer with `facts`."""
    site = make_site(name="a")
    site.up()
    monkeypatch.setattr(net, "accepts_connections", lambda *_, **__: True)
    facts = {}

    def answers(question, _):
        return tuple(replace(node, facts=facts.get(node.name, {})) for node in question.nodes)

    monkeypatch.setattr(module, "ask", answers)
    return site.cloud, facts


SPEC = ClusterSpec("a", workers=WorkersSpec(count=2))


@pytest.mark.parametrize("apart", [False, True])
def test_a_spec_with_the_hub_elsewhere_is_not_the_clusters(make_site, apart):
    site = make_site(name="a")
    alone, together = (replace(site.spec, hub=replace(site.spec.hub, node=node)) for node in (MasterSpec(), None))
    site.up(spec=alone if apart else together)
    with pytest.raises(UsageError, match=rf"hub\.on: the Hub of this cluster is on a-{'hub' if apart else 'master'}"):
        module.examine(site.cloud, together if apart else alone)


def test_a_cluster_is_seen_as_the_cloud_has_it(world):
    _, facts = world
    facts |= {f"a-{name}": {"python": "3"} for name in ("master", "worker-1", "worker-2")}
    seen = module.examine(world[0], SPEC)
    assert [node.name for node in seen.nodes] == ["a-master", "a-worker-1", "a-worker-2"]
    assert (seen.attached, seen.rules, seen.short, seen.count) == (True, (), (), 2)
    assert seen.secret
    assert "spark-master" in seen.units["master"]
    assert "nfs-server" in seen.units["master"]
    assert "spark-worker" in seen.units["worker"]
    assert seen.certificate_ends is None
    # The same secret gives another hash the next time.
    assert module.examine(world[0], SPEC).secret != seen.secret


def test_the_certificate_is_the_one_that_the_hub_presents(world):
    cloud, facts = world
    pem = (ClusterDir("a").folder / "hub.pem").read_text()
    facts["a-master"] = {"certificate": "none", "hub": {"certificate": pem}}
    assert module.examine(cloud, SPEC).certificate_ends > datetime.now(UTC) + timedelta(days=30)


def test_rules_and_attachments_that_are_gone_are_seen(world):
    cloud, _ = world
    group = next(each for each in cloud.of("group") if each.data["rules"])
    group.data["rules"] = [each for each in group.data["rules"] if each[0].first != PORTS.spark_master]
    (floating,) = cloud.of("floating IP")
    floating.data["port"] = ""
    seen = module.examine(cloud, SPEC)
    assert [str(rule) for rule in seen.rules] == ["7077 from nodes"]
    assert not seen.attached
    assert [finding.where for finding in diagnose(seen)] == ["the floating IP", "the security group"]


def test_a_node_out_of_the_group_is_seen(world):
    cloud, _ = world
    master = next(port for port in cloud.of("port") if port.description)
    master.data["groups"] = ("another",)
    assert "a-master" in module.examine(cloud, SPEC).ungrouped


def test_the_console_of_a_silent_node_is_read(world, monkeypatch):
    cloud, _ = world
    for vm in cloud.vms.values():
        vm["console"] = "Linux version 6\nKernel panic - not syncing: out of luck\n"
    monkeypatch.setattr(net, "accepts_connections", lambda *_, **__: False)
    seen = module.examine(cloud, SPEC)
    assert seen.nodes[0].silent.startswith("nothing answers at 172.29.0.")
    assert "kernel panic: out of luck" in seen.nodes[0].console
    found = diagnose(seen)
    assert [finding.where for finding in found] == ["a-master"]
    assert any("out of luck" in line for line in found[0].evidence)


def test_the_quota_is_asked_for_only_when_a_node_is_missing(world):
    cloud, _ = world
    cloud.limits = {"cores": 0, "instances": 10}
    cloud.log.clear()
    module.examine(cloud, SPEC)
    assert "room" not in cloud.log
    more = replace(SPEC, workers=replace(SPEC.workers, count=3))
    cores = cloud.flavors()[SPEC.workers.flavor].vcpus
    assert module.examine(cloud, more).short == (f"{cores} cores, 0 left",)


def test_a_worker_in_error_counts_as_missing_and_gives_back_what_it_holds(world):
    cloud, _ = world
    next(vm for vm in cloud.vms.values() if "worker" in vm["name"])["status"] = "ERROR"
    cloud.limits = {"cores": 0}
    assert module.examine(cloud, SPEC).short == ()


def test_without_a_cluster_or_its_key_it_says_so(world):
    cloud, _ = world
    with pytest.raises(ProvisionError, match="there is no cluster b"):
        module.examine(cloud, replace(SPEC, name="b"))
    ClusterDir("a").private_key.unlink()
    with pytest.raises(ProvisionError, match="this machine has no key for cluster a"):
        module.examine(cloud, SPEC)


def test_a_job_that_fails_is_a_finding(world, monkeypatch):
    def fails(cluster, progress):
        raise ProvisionError("the PySpark job ended without a result", "", "one\ntwo\n")

    monkeypatch.setattr(job, "smoke_test", fails)
    monkeypatch.setattr(job, "find_live_cluster", lambda *_: None)
    (finding,) = job.run_job(world[0], SPEC, "cluster.yaml")
    assert (finding.wrong, finding.evidence) == ("the PySpark job ended without a result", ("one", "two"))
    monkeypatch.setattr(job, "smoke_test", lambda *_: "works")
    assert job.run_job(world[0], SPEC, "cluster.yaml") == []
