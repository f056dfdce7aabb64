"""Waiting: what is shown per node, what ends it at once, and what it says when the time is over."""

from __future__ import annotations

import threading

import pytest

from provision.adapters.spark import SparkMaster
from provision.base.errors import ProvisionError
from provision.model.cluster import console
from provision.model.cluster.resources import Server
from provision.operations.cluster.wait import CONSOLES, KEYS_GRACE, ReadinessWait, UnbuiltError, nothing

NAMES = {"a-master": "10.0.0.1", "a-worker-1": "10.0.0.2", "a-worker-2": "10.0.0.3"}
KEY = "AAAAC3NzaC1lZDI1NTE5AAAAI" + "Gtra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tr"
KEYS = f"-----BEGIN SSH HOST KEY KEYS-----\nssh-ed25519 {KEY} root@a\n-----END SSH HOST KEY KEYS-----\n"


class Script:
    """A cloud, a Spark master and a Hub whose state is a function of the time."""

    def __init__(self, *, statuses=None, consoles=None, registered=None, hub_at=0, names=NAMES, launched=True):
        self.now = 0.0
        self.names = names
        self.launched = launched
        self.statuses = statuses or {}
        self.consoles = consoles or {}
        self.registered = dict.fromkeys(names, 0) if registered is None else registered
        self.hub_at = hub_at
        self.console_reads = []
        self.lock = threading.Lock()
        self.brought = []
        self.restarted = []
        self.lines = []
        self.told = []

    # the cloud
    def servers(self, name):
        found = []
        for one, address in self.names.items():
            status = next(
                (status for at, status in reversed(self.statuses.get(one, [(0, "ACTIVE")])) if at <= self.now), None
            )
            if status:
                role = next((role for role in ("master", "hub") if role in one), "worker")
                found.append(Server(one, one, role, status, launched=self.launched, address=address))
        return tuple(found)

    def building(self):
        return frozenset(server.id for server in self.servers(None) if server.status == "BUILD")

    def console(self, server):
        with self.lock:
            self.console_reads.append((self.now, server))
        return "".join(text for at, text in self.consoles.get(server, [(0, KEYS)]) if at <= self.now)

    def console_if_readable(self, server):
        return self.console(server)

    def restart_server(self, server):
        self.restarted.append(server)
        self.consoles[server] = [(0, KEYS)]

    # Spark and the Hub
    def spark(self, _nodes):
        if self.registered is False:
            return None
        return SparkMaster(tuple(self.names[one] for one, at in self.registered.items() if at <= self.now), 2, 3072, 0)

    def hub(self):
        return "" if self.hub_at <= self.now else "it does not answer yet"

    def slowness(self):
        return "this machine is busy"

    # progress
    def update(self, item, state):
        if not self.lines or (item, state) not in self.lines:
            self.lines.append((item, state))

    def sleep(self, seconds):
        self.now += seconds

    # what a stock image's nodes ask for
    def bring(self, nodes, waiting):
        assert [node.name for node in nodes] == list(self.names)
        self.brought += [(self.now, name) for name in waiting]
        return dict.fromkeys(waiting, "it does not let us in") if self.now < 60 else {}

    def run(self, timeout=1800, host_keys=None):
        return ReadinessWait(
            self,
            "a",
            self,
            nodes=len(self.names),
            spark=self.spark,
            hub_problem=self.hub,
            bring=self.bring,
            spark_works=lambda nodes: self.told.append((self.now, nodes)),
            timeout=timeout,
            slowness=self.slowness,
            host_keys=host_keys,
            clock=lambda: self.now,
            sleep=self.sleep,
        ).run()


def test_a_cluster_forms():
    script = Script(
        statuses={name: [(0, "BUILD"), (30, "ACTIVE")] for name in NAMES},
        consoles={
            name: [(40, "Linux\n"), (60, 'PROVISION {"phase":"cloud-init","stage":"config"}\n'), (200, KEYS)]
            for name in NAMES
        },
        registered={"a-worker-1": 90, "a-worker-2": 120},
        hub_at=100,
    )
    nodes = script.run()
    assert [(node.name, node.role, node.address) for node in nodes] == [
        ("a-master", "master", "10.0.0.1"),
        ("a-worker-1", "worker", "10.0.0.2"),
        ("a-worker-2", "worker", "10.0.0.3"),
    ]
    assert {node.host_keys for node in nodes} == {(f"ssh-ed25519 {KEY}",)}
    assert [state for item, state in script.lines if item == "a-worker-2"] == [
        "building",
        "booting",
        "cloud-init config",
        "registered",
    ]
    assert ("a-master", "the Hub answers") in script.lines
    assert 200 <= script.now < 210


def test_a_list_that_takes_long_is_asked_for_seldom_and_at_once_when_all_are_built():
    asked = []

    class Slow(Script):
        def servers(self, name):
            if name:
                asked.append(self.now)
                self.now += 4
            return super().servers(name)

        def building(self):
            self.now += 0.1
            return super().building()

    built = {"a-master": 100, "a-worker-1": 104, "a-worker-2": 300}
    script = Slow(
        statuses={name: [(0, "BUILD"), (at, "ACTIVE")] for name, at in built.items()},
        registered={"a-worker-1": 120, "a-worker-2": 310},
    )
    script.run()
    # Two changes within ten times as long as a list takes are seen in one.
    assert [round(at, -1) for at in asked] == [0, 100, 300]
    assert 310 <= script.now < 320


def test_nodes_that_wait_for_their_software_get_it():
    waiting = 'PROVISION {"phase":"waiting","text":"for its software"}\n'
    installing = 'PROVISION {"phase":"install","text":"Spark"}\n'
    script = Script(
        consoles={name: [(0, waiting), (30, KEYS), (70, installing)] for name in NAMES},
        registered={"a-worker-1": 90, "a-worker-2": 90},
        hub_at=100,
    )
    script.run()
    assert {name for _, name in script.brought} == {*NAMES}
    assert max(at for at, _ in script.brought) <= 75, "not any more when it has it"
    assert [state for item, state in script.lines if item == "a-worker-2"] == [
        "waiting for its software: it does not let us in",
        "waiting for its software",
        "installing Spark",
        "registered",
    ]


def test_a_golden_image_is_brought_nothing():
    assert nothing((), ["a-master"]) == {}


def test_a_package_source_that_stays_away_ends_it_with_its_name():
    away = (
        'PROVISION {"phase": "failed", "unit": "provision-install", "reason": "pypi.example does not answer", '
        '"log": ["no route to host"]}\n'
    )
    script = Script(hub_at=10_000, registered={}, consoles={"a-worker-1": [(0, KEYS), (9, away)]})
    with pytest.raises(ProvisionError, match=r"a-worker-1: pypi\.example does not answer") as caught:
        script.run()
    assert script.now < 20
    assert "`provision up` again where a package source was away" in caught.value.hint
    assert "no route to host" in caught.value.detail


def test_a_source_that_was_away_before_is_given_the_time_to_be_noticed():
    back = 'PROVISION {"phase": "install", "text": "Python\'s packages"}\n'
    reason = "pypi.example does not answer for 10 minutes"
    away = f'PROVISION {{"phase": "failed", "unit": "provision-install", "reason": "{reason}", "goes_on": true}}\n'
    script = Script(hub_at=300, consoles={"a-worker-1": [(0, KEYS), (0, away), (60, back)]}, registered={})
    script.registered = {"a-worker-1": 290, "a-worker-2": 0}
    script.run()
    assert ("a-worker-1", f"installing {reason}") in script.lines
    gone = Script(hub_at=300, consoles={"a-worker-1": [(0, KEYS), (0, away)]}, registered={})
    with pytest.raises(ProvisionError, match="10 minutes"):
        gone.run()
    assert console.COMES_BACK < gone.now < console.COMES_BACK + 10


def test_it_does_not_wait_for_ever_for_host_keys():
    script = Script(consoles={name: [] for name in NAMES})
    assert {node.host_keys for node in script.run()} == {()}
    assert KEYS_GRACE <= script.now < KEYS_GRACE + 10


def many(count):
    """The addresses of a master and so many workers, by their names."""
    workers = {f"a-worker-{number}": f"10.0.{number // 250}.{number % 250 + 2}" for number in range(1, count + 1)}
    return {"a-master": "10.9.0.1"} | workers


def test_the_host_keys_of_a_new_node_are_read_and_no_others():
    names = many(201)
    known = {name: ("ssh-ed25519 known",) for name in names if name != "a-worker-201"}
    script = Script(names=names, consoles={"a-worker-201": [(0, KEYS)]})
    nodes = script.run(host_keys=known)
    assert script.console_reads == [(0, "a-worker-201")]
    assert script.now == 0
    assert [node.host_keys for node in nodes] == [("ssh-ed25519 known",)] * 201 + [(f"ssh-ed25519 {KEY}",)]


def test_a_known_node_that_does_not_work_is_read_too():
    script = Script(registered={"a-worker-1": 0, "a-worker-2": 30})
    script.run(host_keys=dict.fromkeys(NAMES, ("ssh-ed25519 known",)))
    assert {server for _, server in script.console_reads} == {"a-worker-2"}


def test_a_rebuilt_node_with_the_hub_shows_its_new_host_keys():
    """It has the id that it had, and its Hub answers: Spark alone does not, which is asked over SSH."""
    script = Script()
    new = (f"ssh-ed25519 {KEY}",)

    def spark(nodes):
        return Script.spark(script, nodes) if nodes[0].host_keys == new else None

    script.spark = spark
    nodes = script.run(host_keys=dict.fromkeys(NAMES, ("ssh-ed25519 old",)))
    assert nodes[0].host_keys == new


def test_hundreds_of_host_keys_are_waited_for_as_long_as_some_come():
    names = many(300)
    # A cluster that works from the beginning, whose consoles come to their keys one after another.
    script = Script(names=names, consoles={name: [(number, KEYS)] for number, name in enumerate(names)})
    nodes = script.run()
    assert all(node.host_keys for node in nodes)
    assert script.now > 2 * KEYS_GRACE
    first = [server for at, server in script.console_reads if at == 0]
    assert len(first) == len(set(first)) == 2 * CONSOLES, "one look finds it ready, another one looks for keys"
    assert len({server for _, server in script.console_reads[:301]}) == 301, "each once before one is read again"


def test_a_worker_that_the_cloud_does_not_list_is_waited_for():
    script = Script(statuses={"a-worker-2": [(50, "ACTIVE")]})
    script.run()
    assert script.now >= 50


def test_servers_that_could_not_be_built_are_named_together_once_the_others_are_built():
    built = {"a-master": [(0, "BUILD"), (90, "ACTIVE")]}
    failed = {"a-worker-1": [(0, "BUILD"), (10, "ERROR")], "a-worker-2": [(0, "BUILD"), (60, "ERROR")]}
    script = Script(statuses=built | failed, launched=False)
    with pytest.raises(
        UnbuiltError, match=r"^a-worker-1, a-worker-2 went into ERROR: the cloud gave no reason"
    ) as caught:
        script.run()
    assert caught.value.count == 2
    assert 90 <= script.now < 100


def test_a_node_is_brought_its_software_again_only_when_its_console_has_said_so_anew(monkeypatch):
    waiting = 'PROVISION {"phase":"waiting","text":"for its software"}\n'
    monkeypatch.setattr("provision.operations.cluster.wait.CONSOLES", 1)
    script = Script(
        consoles={name: [(0, KEYS), (0, waiting)] for name in NAMES},
        registered={"a-worker-1": 4, "a-worker-2": 100},
        hub_at=4,
    )
    script.run()
    assert {name for at, name in script.brought if at > 6} == {"a-worker-2"}, "the others' last word is an old one"
    brought = [at for at, name in script.brought if name == "a-worker-2"]
    reads = [at for at, name in script.console_reads if name == "a-worker-2"]
    assert len(brought) == len(set(brought)) <= len(reads)


FAILURES = {
    "ERROR": (
        {"statuses": {"a-worker-1": [(0, "BUILD"), (30, "ERROR")]}},
        "a-worker-1 went into ERROR",
        40,
    ),
    "kernel panic": (
        {"consoles": {"a-worker-2": [(0, "x\n"), (60, "Kernel panic - not syncing: no init\n")]}},
        "a-worker-2: kernel panic: no init",
        70,
    ),
    "failed unit": (
        {"consoles": {"a-master": [(90, 'PROVISION {"phase":"failed","unit":"jupyterhub","log":["no module"]}\n')]}},
        "a-master: jupyterhub failed",
        100,
    ),
    "switched off": (
        {"statuses": {"a-worker-1": [(0, "ACTIVE"), (60, "SHUTOFF")]}},
        "a-worker-1 switched itself off",
        70,
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_ends_it_within_seconds(case):
    changes, message, by = FAILURES[case]
    script = Script(hub_at=10_000, **changes)
    with pytest.raises(ProvisionError) as caught:
        script.run()
    assert message in caught.value.message
    assert caught.value.hint
    assert script.now <= by


def test_a_failed_unit_shows_its_last_lines():
    script = Script(
        hub_at=10_000,
        consoles={"a-master": [(0, 'PROVISION {"phase":"failed","unit":"jupyterhub","log":["no module"]}\n')]},
    )
    with pytest.raises(ProvisionError) as caught:
        script.run()
    assert "no module" in caught.value.detail


def test_the_end_of_the_time_says_what_is_missing():
    script = Script(registered={"a-worker-1": 5}, hub_at=5)
    with pytest.raises(ProvisionError) as caught:
        script.run(timeout=300)
    assert "is not ready after 5 minutes, the last 5 without progress: 1 of 3 nodes" in caught.value.message
    assert "a-worker-2: booting" in caught.value.detail
    assert "--timeout" in caught.value.hint
    assert 300 <= script.now < 310


def test_a_master_out_of_reach_is_told_from_one_that_does_not_run():
    started = 'PROVISION {"phase":"started","unit":"spark-master"}\n'
    script = Script(registered=False, hub_at=10_000, consoles={"a-master": [(0, KEYS), (30, started)]})
    with pytest.raises(ProvisionError) as caught:
        script.run(timeout=300)
    assert "network.access" in caught.value.hint


def test_the_time_limit_counts_from_the_last_progress():
    stages = [(at, f'PROVISION {{"phase":"cloud-init","stage":"{at}"}}\n') for at in range(0, 1000, 250)]
    script = Script(
        consoles={name: [*stages, (900, KEYS)] for name in NAMES},
        registered=dict.fromkeys(NAMES, 1000),
        hub_at=1000,
    )
    script.run(timeout=300)
    assert 1000 <= script.now < 1010


def test_to_and_fro_is_no_progress():
    to_and_fro = [(at, ("ACTIVE", "SUSPENDED")[at // 30 % 2]) for at in range(0, 3000, 30)]
    script = Script(statuses={"a-worker-2": to_and_fro}, registered={"a-worker-1": 0})
    with pytest.raises(ProvisionError, match=r"not ready after \d+ minutes, the last 5 without progress: 1 of 3"):
        script.run(timeout=300)
    assert script.now < 400


def test_a_vm_whose_kernel_stands_still_is_restarted_once():
    stalled = "rcu: rcu_preempt kthread timer wakeup didn't happen for 5253 jiffies!\n" * 2
    late = dict.fromkeys(NAMES, 0) | {"a-worker-2": 200}
    script = Script(consoles={"a-worker-2": [(0, "x\n"), (60, stalled)]}, registered=late)
    script.run()
    assert script.restarted == ["a-worker-2"]
    assert ("a-worker-2", "its kernel does not go on: restarting it") in script.lines
    # One that stands still again is waited for, like any that says nothing.
    again = Script(consoles={"a-worker-2": [(0, stalled)]}, registered={"a-master": 0, "a-worker-1": 0})
    again.restart_server = again.restarted.append
    with pytest.raises(ProvisionError, match="1 of 3 nodes are not ready"):
        again.run()
    assert again.restarted == ["a-worker-2"]


def test_what_is_waited_for_and_what_is_slow_is_said_after_a_while():
    script = Script(registered={"a-worker-1": 0})
    with pytest.raises(ProvisionError):
        script.run(timeout=500)
    said = [state for item, state in script.lines if item == "waiting"]
    assert said == [
        f"for a-worker-2 (booting), unchanged for {minutes} minutes; this machine is busy" for minutes in (2, 4, 6, 8)
    ]


def test_it_is_told_once_that_a_job_can_run_before_the_hub_answers():
    script = Script(registered={"a-worker-1": 30, "a-worker-2": 60}, hub_at=120)
    script.run()
    assert [(at, [node.name for node in nodes]) for at, nodes in script.told] == [(60, list(NAMES))]
    assert script.now >= 120


def test_it_is_not_told_while_a_host_key_is_unknown():
    script = Script(consoles={"a-master": [(90, KEYS)]}, hub_at=120)
    script.run()
    assert [at for at, _ in script.told] == [90]


def test_a_hub_on_a_node_of_its_own_has_to_answer_before_a_job_can_run():
    script = Script(names={**NAMES, "a-hub": "10.0.0.4"}, hub_at=120)
    script.run()
    assert [at for at, _ in script.told] == [120]
