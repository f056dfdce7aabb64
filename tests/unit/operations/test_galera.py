"""Members of a cluster that find each other in a Consul of their own: in memory, with sessions and transactions."""

from __future__ import annotations

import base64
import threading
import time
from dataclasses import replace

import pytest

from provision.adapters.consul.http import ConsulRefusedError
from provision.adapters.consul.kv import KeyEntry
from provision.base.errors import ProvisionError
from provision.model.galera.bootstrap import MemberReport, Position, Start, View, read_start
from provision.model.galera.status import MemberState
from provision.operations import galera
from provision.operations.galera import GaleraMember, JoinPlan

NAMES = ("mariadb-1", "mariadb-2", "mariadb-3")
CLUSTER = "1938a009-e6df-11f1-8853-13e0bc481b10"
SYNCED = MemberState(primary=True, ready=True, stage="Synced", size=1, cluster=CLUSTER)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(galera, "_PAUSE", 0.01)
    monkeypatch.setattr(galera, "_APART", 0.05)


class Consul:
    """What the adapters ask of Consul, all at once or not at all."""

    def __init__(self):
        self.lock = threading.RLock()
        self.keys = {}
        self.sessions = set()
        self.statuses = {}
        self.index = 0
        self.before_commit = lambda: None

    def begin_session(self, name, seconds):
        with self.lock:
            self.index += 1
            session = f"{name}-{self.index}"
            self.sessions.add(session)
            return session

    def renew(self, session):
        return session in self.sessions

    def end_session(self, session):
        with self.lock:
            self.sessions.discard(session)
            self.keys = {key: entry for key, entry in self.keys.items() if entry.session != session or not session}

    def hold(self, key, value, session):
        with self.lock:
            if session not in self.sessions:
                raise ConsulRefusedError("invalid session")
            there = self.keys.get(key)
            if there and there.session not in ("", session):
                return False
            self.put(key, value, session)
            return True

    def put(self, key, value, session=""):
        self.index += 1
        self.keys[key] = KeyEntry(value, session, self.index)

    def read(self, prefix):
        with self.lock:
            return {key: entry for key, entry in self.keys.items() if key.startswith(prefix)}

    def commit(self, operations):
        self.before_commit()
        with self.lock:
            if not all(self.holds(each) for each in operations):
                return False
            for each in operations:
                if each["Verb"] == "set":
                    self.put(each["Key"], base64.b64decode(each["Value"]).decode())
                elif each["Verb"] == "delete":
                    self.keys.pop(each["Key"], None)
            return True

    def holds(self, operation):
        there = self.keys.get(operation["Key"])
        return {
            "check-not-exists": there is None,
            "check-index": there is not None and there.index == operation.get("Index"),
            "check-session": there is not None and there.session == operation.get("Session"),
        }.get(operation["Verb"], True)

    def passing(self, service):
        return {name: f"at-{name}" for name, status in self.statuses.items() if status == "passing"}

    def heartbeat(self, service_id, status, output):
        self.statuses[service_id] = status


class Server:
    """A MariaDB that is started, says what it is told to say, and ends when it is asked to."""

    def __init__(self, position=None, view=View()):  # noqa: B008 - frozen
        self.at, self.seen = position, view
        self.says = SYNCED
        self.code = None
        self.argvs = []
        self.done = []

    def position(self):
        return self.at

    def view(self):
        return self.seen

    def install(self):
        self.done.append("install")

    def allow_start(self):
        self.done.append("allow")

    def argv(self, member, bootstrap_id, position, peers):
        return [member, bootstrap_id, str(position), *peers]

    def start(self, argv):
        self.code = None
        self.argvs.append(argv)

    def ended(self, seconds):
        time.sleep(seconds)
        return self.code

    def stop(self):
        self.code = 0

    def state(self):
        return self.says

    def ensure_accounts(self, statements):
        self.done.append(statements)
        return True


def member(name, consul, server, **options):
    options.setdefault("answers", lambda _: True)
    return GaleraMember(name, NAMES, server, consul, consul, accounts="SQL", say=lambda _: None, **options)


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def run_all(consul, servers):
    """Run members side by side, until all serve."""
    members = [member(name, consul, server) for name, server in servers.items()]
    threads = [threading.Thread(target=each.run, daemon=True) for each in members]
    for thread in threads:
        thread.start()
    until(lambda: len(consul.passing("mariadb")) == len(members))
    for each in members:
        each.stop()
    for thread in threads:
        thread.join(5)
    return [argv for server in servers.values() for argv in server.argvs]


def test_of_three_new_members_one_starts_and_the_others_join_it():
    for _ in range(5):
        consul, servers = Consul(), {name: Server() for name in NAMES}
        argvs = run_all(consul, servers)
        starts = [argv for argv in argvs if len(argv) == 3]
        assert [argv[0] for argv in starts] == ["mariadb-1"]
        assert len(argvs) == 3
        assert servers["mariadb-1"].done[:2] == ["install", "allow"]
        assert "install" not in servers["mariadb-2"].done
        assert len({argv[1] for argv in argvs}) == 1, "one bootstrap"
        assert read_start(consul.keys["galera/start"].value).cluster == CLUSTER
        assert set(consul.keys) == {"galera/start"}, "nothing of the start is left"


def test_after_a_power_cut_the_most_advanced_starts():
    consul = Consul()
    consul.put("galera/start", Start("e1", "mariadb-1", CLUSTER).text())
    servers = {name: Server(Position(CLUSTER, n), View("e1", NAMES)) for name, n in zip(NAMES, (5, 7, 6), strict=True)}
    starts = [argv for argv in run_all(consul, servers) if len(argv) == 3]
    assert [argv[0] for argv in starts] == ["mariadb-2"]


def in_the_end(act, seconds=0.3):
    """Return what a call in another thread returned, or None when it has not come to an end."""
    found = []
    thread = threading.Thread(target=lambda: found.append(act()), daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else None


def test_it_waits_for_who_may_know_more_and_what_it_left_behind_is_no_obstacle():
    consul = Consul()
    old = consul.begin_session("an earlier life", 15)
    consul.hold("galera/reports/mariadb-1", MemberReport("mariadb-1", None).text(), old)
    consul.hold("galera/lock", "mariadb-1", old)
    one = member("mariadb-1", consul, Server(Position(CLUSTER, 5), View("", ("mariadb-1", "mariadb-2"))))
    assert in_the_end(one.wait_for_plan) is None
    assert old not in consul.sessions
    assert consul.statuses["mariadb-1"] == "critical"
    two = MemberReport("mariadb-2", Position(CLUSTER, 4), View("", ("mariadb-1", "mariadb-2")))
    consul.hold("galera/reports/mariadb-2", two.text(), consul.begin_session("two", 15))
    until(lambda: "galera/start" in consul.keys)
    assert read_start(consul.keys["galera/start"].value).by == "mariadb-1"


@pytest.mark.parametrize("change", ["lock", "report", "start"])
def test_a_start_that_is_no_longer_right_does_not_happen(change):
    consul = Consul()
    server = Server(Position(CLUSTER, 5), View("e0", NAMES[:1]))
    one = member("mariadb-1", consul, server)
    others = consul.begin_session("two", 15)
    consul.hold("galera/reports/mariadb-2", MemberReport("mariadb-2", None).text(), others)

    def meanwhile():
        consul.before_commit = lambda: None
        if change == "lock":
            # The member was paused for so long that its session has ended.
            consul.end_session(one._session)
        elif change == "report":
            two = MemberReport("mariadb-2", Position(CLUSTER, 9), View("e0", NAMES))
            consul.hold("galera/reports/mariadb-2", two.text(), others)
        else:
            consul.put("galera/start", Start("e9", "mariadb-3").text())

    consul.before_commit = meanwhile
    assert one.plan(MemberReport("mariadb-1", server.at, server.seen)) is None
    start = consul.keys.get("galera/start")
    assert start is None or read_start(start.value).by == "mariadb-3"


def test_nobody_is_joined_that_does_not_answer_and_no_data_is_thrown_away():
    consul = Consul()
    consul.statuses = {"mariadb-2": "passing"}
    consul.put("galera/start", Start("e1", "mariadb-2", CLUSTER).text())
    server = Server(Position(CLUSTER.replace("1", "2"), 5), View("e0", ("mariadb-1", "mariadb-2")))
    deaf = member("mariadb-1", consul, server, answers=lambda _: False)
    assert deaf.plan(MemberReport("mariadb-1", server.at, server.seen)) is None
    with pytest.raises(ProvisionError, match="of the cluster"):
        member("mariadb-1", consul, server).plan(MemberReport("mariadb-1", server.at, server.seen))
    server.at = Position(CLUSTER, 5)
    way = member("mariadb-1", consul, server).plan(MemberReport("mariadb-1", server.at, server.seen))
    assert way == JoinPlan("e1", server.at, ("at-mariadb-2",))


def test_it_serves_only_when_it_is_in_step_and_says_so():
    consul, server = Consul(), Server()
    one = member("mariadb-1", consul, server)
    server.says = None
    found = []
    thread = threading.Thread(target=lambda: found.append(one._serve(JoinPlan("e1", None, ("at-2",)))), daemon=True)
    thread.start()

    def shown(status):
        until(lambda: consul.statuses.get("mariadb-1") == status)

    shown("critical")
    server.says = SYNCED
    shown("passing")
    server.says = replace(SYNCED, stage="Joined")
    shown("critical")
    server.code = -9
    thread.join(5)
    assert found == [137]


def test_apart_from_the_cluster_it_begins_anew():
    consul, server = Consul(), Server()
    server.says = replace(SYNCED, primary=False)
    assert in_the_end(lambda: member("mariadb-1", consul, server)._serve(JoinPlan("e1", None, ("at-2",))), 5) is None
    assert server.code == 0


def test_it_leaves_in_order():
    consul, server = Consul(), Server()
    one = member("mariadb-1", consul, server)
    consul.statuses["mariadb-2"] = "passing"
    thread = threading.Thread(target=one.run, daemon=True)
    thread.start()
    until(lambda: consul.statuses.get("mariadb-1") == "passing")
    one.stop()
    thread.join(5)
    assert not thread.is_alive()
    assert consul.statuses["mariadb-1"] == "critical"
    assert server.code == 0
