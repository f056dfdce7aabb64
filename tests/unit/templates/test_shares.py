"""The kernels' fair shares: who gets what, who gives back, what the notebook says. The file has no Jinja in it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.base.paths import TEMPLATES

_spec = importlib.util.spec_from_file_location("shares", TEMPLATES / "hub/kernel/shares.py")
assert _spec is not None
assert _spec.loader is not None
shares = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shares)
App = shares.App

# Cores of the cluster, a user's limit, the applications, and each one's share.
SHARES = {
    "nobody": (4, 3, [], {}),
    "alone, up to the limit": (4, 3, [App("a", "alice", 0, 9)], {"a": 3}),
    "alone, no more than it can use": (4, 3, [App("a", "alice", 0, 1)], {"a": 1}),
    "three users": (
        6,
        4,
        [App("a", "alice", 4, 9), App("b", "bob", 0, 9), App("c", "carol", 0, 9)],
        {"a": 2, "b": 2, "c": 2},
    ),
    "the odd one stays where it is": (
        4,
        3,
        [App("a", "alice", 1, 9), App("b", "bob", 1, 9), App("c", "carol", 2, 9)],
        {"a": 1, "b": 1, "c": 2},
    ),
    "what one cannot use goes to the others": (
        8,
        6,
        [App("a", "alice", 0, 1), App("b", "bob", 0, 9), App("c", "carol", 0, 9)],
        {"a": 1, "b": 4, "c": 3},
    ),
    "four notebooks count as one user": (
        4,
        3,
        [*(App(f"a{place}", "alice", 1, 9) for place in range(4)), App("b", "bob", 0, 9)],
        {"a0": 1, "a1": 1, "a2": 0, "a3": 0, "b": 2},
    ),
    "an idle one gets none": (4, 3, [App("a", "alice", 3, 0), App("b", "bob", 1, 9)], {"a": 0, "b": 3}),
    "who takes no part keeps what he holds": (
        4,
        3,
        [App("a", "alice", 4, 4, elastic=False), App("b", "bob", 0, 9)],
        {"a": 4, "b": 0},
    ),
    "who takes no part counts for its user": (
        4,
        3,
        [App("a", "alice", 2, 2, elastic=False), App("a2", "alice", 0, 9), App("b", "bob", 0, 9)],
        {"a": 2, "a2": 0, "b": 2},
    ),
    "who takes no part has what he wants": (
        4,
        3,
        [App("a", "alice", 2, 9), App("b", "bob", 2, 9), App("s", "spark", 0, 2, elastic=False)],
        {"a": 1, "b": 1, "s": 2},
    ),
    "but no more than there is": (
        4,
        3,
        [App("a", "alice", 3, 9), App("s", "spark", 1, 9, elastic=False)],
        {"a": 0, "s": 4},
    ),
    "whole executors": (7, 6, [App("a", "alice", 0, 9, unit=2), App("b", "bob", 0, 9, unit=2)], {"a": 4, "b": 2}),
    "a first executor, whatever the limit": (8, 1, [App("a", "alice", 0, 9, unit=4)], {"a": 4}),
}


@pytest.mark.parametrize("case", SHARES)
def test_fair_shares(case):
    cores, limit, apps, expected = SHARES[case]
    assert shares.fair_shares(apps, cores, limit) == expected


# What each of the applications has to give back.
GIVING = {
    "nobody waits": (4, 3, [App("a", "alice", 3, 9), App("b", "bob", 1, 1)], {}),
    "a new user": (4, 4, [App("a", "alice", 4, 9), App("b", "bob", 0, 9)], {"a": 2}),
    "a new user, and enough is free": (4, 4, [App("a", "alice", 2, 9), App("b", "bob", 0, 9)], {}),
    "it is on its way": (4, 4, [App("a", "alice", 4, 9, leaving=2), App("b", "bob", 0, 9)], {}),
    "idle ones first": (
        6,
        5,
        [App("a", "alice", 3, 9), App("b", "bob", 3, 0), App("c", "carol", 0, 2)],
        {"b": 3},
    ),
    "no more than is missing": (6, 5, [App("a", "alice", 5, 9), App("b", "bob", 1, 2)], {"a": 1}),
    "one's own other notebook": (4, 3, [App("a", "alice", 3, 9), App("a2", "alice", 0, 9)], {"a": 1}),
    "above the limit": (8, 3, [App("a", "alice", 3, 0), App("a2", "alice", 3, 3)], {"a": 3}),
    "not who takes no part": (4, 3, [App("a", "alice", 4, 4, elastic=False), App("b", "bob", 0, 9)], {}),
}


@pytest.mark.parametrize("case", GIVING)
def test_giving_back(case):
    cores, limit, apps, expected = GIVING[case]
    given_back = {app.id: shares.to_give_back(app, apps, cores, limit) for app in apps if app.elastic}
    assert {name: count for name, count in given_back.items() if count} == expected


def test_room_is_for_what_it_could_use_and_within_the_users_limit():
    others = [App("b", "bob", 1, 1)]
    me = App("a", "alice", 0, 0)
    assert shares.room(me, [me, *others], 4, 3) == 3
    held = [App("a2", "alice", 2, 2)]
    assert shares.room(me, [me, *others, *held], 4, 3) == 1
    assert shares.room(me, [me, App("a2", "alice", 3, 3)], 4, 3) == 0


@st.composite
def clusters(draw):
    unit = draw(st.integers(1, 3))
    apps = draw(
        st.lists(
            st.builds(
                lambda user, holds, wants, elastic: (user, holds * unit, wants * unit, elastic),
                st.sampled_from("uvw"),
                st.integers(0, 3),
                st.integers(0, 9),
                st.booleans(),
            ),
            max_size=6,
        )
    )
    made = [App(str(n), user, holds, wants, unit, elastic=elastic) for n, (user, holds, wants, elastic) in enumerate(apps)]
    return unit, sum(app.holds for app in made) + draw(st.integers(0, 5)) * unit, draw(st.integers(1, 9)), made


@given(clusters())
def test_shares_are_fair_and_can_be_had(cluster):
    unit, cores, limit, apps = cluster
    dealt = shares.fair_shares(apps, cores, limit)
    assert sum(dealt.values()) <= cores
    users = {user: sum(dealt[app.id] for app in apps if app.user == user) for user in "uvw"}
    for app in apps:
        if not app.elastic:
            assert dealt[app.id] >= app.holds
            continue
        assert dealt[app.id] <= app.wants
        # Who could use one more, and may have it: then nobody got more than one executor above him by the same dealing.
        if dealt[app.id] < app.wants and users[app.user] + unit <= limit:
            for other in apps:
                if other.user != app.user and all(each.elastic for each in apps if each.user == other.user):
                    assert users[other.user] <= users[app.user] + unit


def dealt_singly(apps, cores, user_cores):
    """`fair_shares` as its docstring has it: each executor is dealt by a look at all applications."""
    dealt = {app.id: 0 if app.elastic else app.holds for app in apps}
    left = cores - sum(dealt.values())
    for app in apps:
        if not app.elastic:
            more = max(min(app.wants - app.holds, left), 0)
            dealt[app.id] += more
            left -= more

    def has(user):
        return sum(dealt[app.id] for app in apps if app.user == user)

    def holds(user):
        return sum(app.holds for app in apps if app.user == user)

    while takers := [
        app
        for app in apps
        if dealt[app.id] < app.wants
        and app.unit <= left
        and (not has(app.user) or has(app.user) + app.unit <= user_cores)
    ]:
        taker = min(takers, key=lambda a: (has(a.user), -holds(a.user), a.user, dealt[a.id], -a.holds, a.id))
        dealt[taker.id] += taker.unit
        left -= taker.unit
    return dealt


@given(
    st.lists(
        st.builds(
            App,
            st.just(""),
            st.sampled_from("uvw"),
            holds=st.integers(0, 9),
            wants=st.integers(0, 12),
            unit=st.integers(1, 4),
            elastic=st.booleans(),
        ),
        max_size=8,
    ),
    st.integers(0, 30),
    st.integers(0, 20),
)
def test_shares_are_those_of_dealing_one_by_one(apps, cores, limit):
    named = [app._replace(id=str(place)) for place, app in enumerate(apps)]
    assert shares.fair_shares(named, cores, limit) == dealt_singly(named, cores, limit)


def test_a_large_clusters_shares_take_no_time():
    apps = [App(f"app-{n}", f"user-{n // 2}", 0, 8000) for n in range(100)]
    times = []
    for _ in range(5):
        began = time.process_time()
        dealt = shares.fair_shares(apps, 8000, 6000)
        times.append(time.process_time() - began)
    assert set(dealt.values()) == {80}
    # 4 ms where this was written, and 150 by a look at all applications for each executor.
    assert min(times) < 0.04


@given(clusters())
def test_after_giving_and_taking_nobody_has_to_give(cluster):
    _, cores, limit, apps = cluster
    dealt = shares.fair_shares(apps, cores, limit)
    settled = [app._replace(holds=dealt[app.id]) for app in apps]
    assert shares.fair_shares(settled, cores, limit) == dealt
    over = {app.id: shares.to_give_back(app, settled, cores, limit) for app in settled if app.elastic}
    assert not any(over.values())


def test_who_holds_in_words():
    apps = [App("a", "bob", 2, 2), App("b", "bob", 1, 1), App("c", "carol", 1, 1), App("d", "alice", 0, 4)]
    assert shares.who_holds(apps, 4, "alice") == "bob holds 3 of 4 (2 notebooks), carol 1"
    assert shares.who_holds(apps, 4, "bob") == "you hold 3 of 4 (2 notebooks), carol 1"
    assert shares.who_holds(apps, 4, "carol") == "bob holds 3 of 4 (2 notebooks), you 1"
    assert shares.who_holds([], 4, "alice") == "nobody holds any of the 4"


def test_a_size_may_have_a_limit_of_cores():
    environment = {"SPARK_SIZE": "spark.driver.memory=1g spark.cores.max=2"}
    assert shares.size_settings(environment) == {"spark.driver.memory": "1g", "spark.cores.max": "2"}


def test_only_who_shares_has_no_limit_of_cores():
    assert shares.size_settings({}) == {"spark.cores.max": "2147483647"}
    assert shares.size_settings({"SPARK_SIZE": "spark.driver.memory=1g"}, shared=False) == {"spark.driver.memory": "1g"}


def test_executors_stay_longer_where_others_take_minutes_to_start():
    slow = shares.size_settings({}, slow=True)
    assert slow["spark.dynamicAllocation.executorIdleTimeout"] == "300s"
    assert shares.size_settings({}, shared=False, slow=True) == {}


def state(*apps, workers=((2, 0, 0), (2, 0, 0))):
    """What the Spark master answers: applications as (id, user, cores, state), workers as (cores, free, MiB free)."""
    return {
        "workers": [
            {"state": "ALIVE", "cores": cores, "coresfree": free, "memoryfree": memory} for cores, free, memory in workers
        ]
        + [{"state": "DEAD", "cores": 8, "coresfree": 8, "memoryfree": 9999}],
        "activeapps": [
            {"id": name, "user": user, "cores": cores, "state": status, "memoryperexecutor": 768}
            for name, user, cores, status in apps
        ],
    }


def test_applications_are_the_masters_with_what_they_published(tmp_path):
    folder = shares.Folder(str(tmp_path))
    folder.publish("a", {"wants": 3, "unit": 1, "leaving": 1})
    folder.publish("gone", {"wants": 3, "unit": 1, "leaving": 0})
    (tmp_path / "d").write_text(json.dumps({"wants": 2, "unit": 1, "leaving": 0, "elastic": False}))
    seen = state(("a", "alice", 2, "RUNNING"), ("b", "bob", 2, "RUNNING"), ("c", "carol", 0, "WAITING"), ("d", "d", 0, "W"))
    assert shares.applications(seen, folder.read) == (
        4,
        [
            App("a", "alice", 2, 3, leaving=1),
            App("b", "bob", 2, 2, elastic=False),
            App("c", "carol", 0, 1, elastic=False),
            App("d", "d", 0, 2, elastic=False),
        ],
    )
    folder.remove("a")
    assert folder.read("a") is None


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "7", '{"wants": 1, "unit": 0, "leaving": 0}', '{"wants": -1, "unit": 1, "leaving": 0}']
)
def test_what_is_no_proper_entry_is_none(tmp_path, content):
    (tmp_path / "a").write_text(content)
    assert shares.Folder(str(tmp_path)).read("a") is None


def test_links_and_pipes_are_no_entries(tmp_path):
    (tmp_path / "real").write_text('{"wants": 1, "unit": 1, "leaving": 0}')
    os.symlink(tmp_path / "real", tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    folder = shares.Folder(str(tmp_path))
    assert folder.read("real") == {"wants": 1, "unit": 1, "leaving": 0, "elastic": True}
    assert folder.read("link") is None
    assert folder.read("pipe") is None


class Cluster:
    """A Spark master and one notebook's allocation, as a Watcher sees them."""

    def __init__(self, monkeypatch, folder):
        self.said, self.now, self.state = [], 0.0, state()
        self.limits, self.given, self.need, self.ids = [], [], 0, set()
        self.watcher = shares.Watcher(self.said.append, clock=lambda: self.now)
        self.watcher.allocation = SimpleNamespace(
            app_id="a",
            unit=1,
            most=99,
            manager=object(),
            master="http://master",
            idle="60s",
            folder=shares.Folder(str(folder)),
            needed=lambda: self.need,
            executors=lambda: (set(self.ids), set()),
            user_cores=lambda cores: cores - 1,
            start_seconds=lambda: 10,
            grow_to=self.limits.append,
            give_back=lambda count, turn: self.given.append((count, turn)),
        )
        monkeypatch.setattr(shares, "ask", lambda master: self.state)

    def look(self, seconds=3):
        self.now += seconds
        self.watcher.look()


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    return Cluster(monkeypatch, tmp_path)


def test_a_notebook_that_waits_says_who_holds_the_cores_once_and_when_it_goes_on(cluster):
    cluster.need = 4
    cluster.state = state(("a", "alice", 0, "WAITING"), ("b", "bob", 3, "RUNNING"), ("c", "carol", 1, "RUNNING"))
    for _ in range(4):
        cluster.look()
    assert cluster.said == []
    for _ in range(4):
        cluster.look()
    assert cluster.said == [
        "Waiting for cores: bob holds 3 of 4, carol 1. Yours come when they are free; idle notebooks give theirs back "
        "after 60s."
    ]
    cluster.state = state(("a", "alice", 1, "RUNNING"), ("b", "bob", 2, "RUNNING"), ("c", "carol", 1, "RUNNING"))
    cluster.look()
    assert cluster.said[1:] == ["The cores are there: going on."]


def test_a_notebook_whose_executors_are_starting_says_nothing(cluster):
    cluster.need = 4
    cluster.state = state(("a", "alice", 1, "RUNNING"), workers=((2, 1, 768), (2, 2, 1536)))
    for _ in range(20):
        cluster.look()
    assert cluster.said == []


def test_it_names_other_reasons(cluster):
    cluster.need = 1
    waits = ("a", "alice", 0, "WAITING")
    cluster.state = state(waits, ("b", "bob", 2, "RUNNING"), workers=((4, 2, 512),))
    cluster.look()
    cluster.look(20)
    assert cluster.said.pop() == "Waiting for memory: no worker has 768 MiB for an executor (bob holds 2 of 4)."
    cluster.watcher.told = False
    cluster.state = state(waits, workers=())
    cluster.look()
    assert cluster.said.pop() == "Waiting for workers: none is registered with the Spark master."
    cluster.watcher.told = False
    cluster.state = state(waits, ("a2", "alice", 4, "RUNNING"))
    cluster.look()
    assert "you hold 4 of 4. Your limit is 3, over all of your notebooks." in cluster.said.pop()


def test_it_gives_back_what_others_wait_for_when_it_has_seen_it_twice(cluster, tmp_path):
    cluster.need, cluster.ids = 9, {"0", "1", "2", "3"}
    shares.Folder(str(tmp_path)).publish("b", {"wants": 9, "unit": 1, "leaving": 0})
    cluster.state = state(("a", "alice", 4, "RUNNING"), ("b", "bob", 0, "WAITING"))
    cluster.look()
    assert (cluster.limits[-1], cluster.given) == (2, [])
    cluster.look()
    assert cluster.given == [(2, 0)]


def test_it_grows_when_a_job_has_lasted_as_long_as_an_executor_takes_to_start(cluster):
    cluster.ids, cluster.state = {"0"}, state(("a", "alice", 1, "RUNNING"))
    cluster.look()
    cluster.need = 9
    for _ in range(4):
        cluster.look()
    assert cluster.limits == [1, 1, 1, 1, 1]
    cluster.look()
    assert cluster.limits[-1] == 3
    cluster.need = 0
    cluster.look()
    assert cluster.limits[-1] == 1


def test_where_it_has_nothing_it_may_take_all_at_once(cluster):
    cluster.need, cluster.state = 9, state(("a", "alice", 0, "WAITING"))
    cluster.look()
    assert cluster.limits == [3]


def test_an_idle_notebook_keeps_its_executors_for_a_moment_only(cluster, tmp_path):
    cluster.need, cluster.ids = 2, {"0", "1"}
    cluster.state = state(("a", "alice", 2, "RUNNING"))
    cluster.look()
    cluster.need = 0
    cluster.look()
    assert shares.Folder(str(tmp_path)).read("a")["wants"] == 2
    cluster.look(30)
    assert shares.Folder(str(tmp_path)).read("a")["wants"] == 0


def test_a_notebook_that_does_nothing_asks_nobody(cluster, monkeypatch):
    monkeypatch.delattr(shares, "ask")
    cluster.look()
    assert cluster.limits == []


@pytest.mark.parametrize("context", [None, SimpleNamespace(), SimpleNamespace(_jsc=None)], ids=["none", "new", "stopped"])
def test_a_context_that_is_being_made_or_stopped_is_not_followed(context):
    watcher = shares.Watcher(print)
    watcher.follow(context)
    watcher.look()
    assert watcher.allocation is None


@pytest.mark.parametrize(
    ("counts", "busy", "expected"),
    [([3], True, [3]), ([0], True, [0]), ([-1, -1, 0, 7], False, [0, 0, 0, 7]), ([-1, 0, 7], True, [1, 1, 7])],
    ids=["right", "nothing to do", "miscounted and idle", "miscounted and busy"],
)
def test_what_spark_miscounts_is_asked_of_its_jobs(counts, busy, expected):
    asked = []
    allocation = object.__new__(shares.Allocation)
    allocation.manager, allocation.miscounts, allocation.given_back = object(), False, set()
    tracker = SimpleNamespace(getActiveStageIds=lambda: [1] if busy else [])
    functions = SimpleNamespace(toScalaMap=lambda _: {})
    allocation.context = SimpleNamespace(
        statusTracker=lambda: tracker, _jvm=SimpleNamespace(PythonUtils=functions)
    )
    allocation.gauges = {"executors.numberMaxNeededExecutors": SimpleNamespace(getValue=lambda: counts.pop(0))}
    allocation.executors = lambda: (set(), set())
    allocation.spark = SimpleNamespace(requestTotalExecutors=lambda count, *_: asked.append(count))
    assert [allocation.needed() for _ in range(len(counts))] == expected
    assert asked == [1] * expected.count(1)


ENDS = """\
import atexit, importlib.util, sys, time, types

sys.modules["pyspark"] = types.SimpleNamespace(SparkContext=types.SimpleNamespace(_active_spark_context=None))
spec = importlib.util.spec_from_file_location("shares", sys.argv[1])
shares = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shares)
shares.PERIOD = 0.01
seen = []

def look(self):
    seen.append(trouble)
    raise OSError(trouble)

def have(words):
    global trouble
    trouble = words
    while trouble not in seen:
        time.sleep(0.01)
    time.sleep(0.1)

trouble = ""
shares.Watcher.look = look
shares.watch(types.SimpleNamespace(sparkContext=None))
have("the master restarts")
atexit.register(have, "the JVM has gone")
"""


def test_trouble_is_told_but_not_of_a_kernel_that_ends():
    words = [sys.executable, "-c", ENDS, str(TEMPLATES / "hub/kernel/shares.py")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "shares: OSError('the master restarts')"
