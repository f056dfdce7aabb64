"""Three members of MariaDB, RabbitMQ and memcached, from the cloud's own Compose files: formed, killed, and back."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from provision.adapters.docker.data import ContainerData
from provision.adapters.docker.engine import Engine
from provision.adapters.docker.inspect import Inspector
from provision.base.progress import Silent
from provision.model.localcloud.doctor.observed import ObservedLocalCloud
from provision.model.localcloud.doctor.rules import unsynced
from provision.model.localcloud.settings import CLUSTERED
from provision.operations.localcloud.shared import backup, inspection, schema
from provision.operations.localcloud.single import status, upgrade
from provision.operations.localcloud.single.scale import replica_set

from .members import DATABASES, LIMIT, Members, Writer, member, rename
from .world import resolve, until

pytestmark = pytest.mark.integration

BROKERS = ("rabbitmq", "rabbitmq-2", "rabbitmq-3")
CACHES = ("memcached", "memcached-2", "memcached-3")


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    members = Members(tmp_path_factory.mktemp("members"))
    try:
        members.up("haproxy", *DATABASES, *BROKERS, *CACHES)
        yield members
    finally:
        members.close()


@pytest.fixture(scope="module")
def writer(members):
    members.await_databases()
    return Writer(members)


def brokers(members):
    """Name the brokers that run, as the first one sees them."""
    code, output = members.execute("rabbitmq", "rabbitmqctl", "-q", "cluster_status", "--formatter", "json")
    return set() if code else set(json.loads(output)["running_nodes"])


def rows(members, service):
    # When this member has what the others have.
    lines = members.sql(service, "SET wsrep_sync_wait=1; SELECT number FROM nova.journal")
    return None if lines is None else {int(line) for line in lines}


def kept(members, writer):
    """Whether every member has all that was acknowledged; what comes meanwhile is no matter."""
    acknowledged = {number for number, _, _ in writer.journal}
    return all(acknowledged <= (rows(members, name) or set()) for name in DATABASES)


def test_they_find_each_other(members, writer):
    assert members.sql("mariadb", "SHOW STATUS LIKE 'wsrep_cluster_size'") == ["wsrep_cluster_size\t3"]
    nodes = {f"rabbit@{name}.service.consul" for name in members.names("rabbitmq")}
    until(lambda: brokers(members) == nodes, LIMIT, lambda: brokers(members))
    until(lambda: len(members.passing("memcached")) == 3, LIMIT)
    named = [resolve(str(members.settings.consul), f"{number}.memcached.service.consul", 1) for number in (1, 2, 3)]
    assert len({addresses[0] for _, addresses in named}) == 3
    starts = [name for name in DATABASES if "galera: starting the cluster" in members.logs(name, "all")]
    assert starts == ["mariadb"]
    until(writer.writes, LIMIT, "the writer")


@pytest.fixture
def looked_at(members, monkeypatch, tmp_path):
    """Have the commands that look at a cloud look at this one."""
    rename(monkeypatch, members.run)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(status, "control", lambda: members.compose)
    monkeypatch.setattr(status, "hypervisors", lambda settings: ())
    monkeypatch.setattr(status, "this_checkout", dict)
    return SimpleNamespace(settings=members.settings, control=members.compose, inputs={"nova": "n1"})


def standing(members):
    """Say for each clustered service how many members are wanted, run and are healthy."""
    engine = Engine()
    lines = status._services(engine, members.settings, engine.states())
    return {each.service: (each.wanted, each.running, each.healthy) for each in lines if each.service in CLUSTERED}


def judged(look):
    seen = inspection.inspect_database(look, look.units())["members"]
    return {each.where: each.wrong for each in unsynced(ObservedLocalCloud(datetime.now(UTC), members=seen))}


def test_a_row_that_another_has_changed_meanwhile_can_be_updated(members, writer):
    """Nova retries deadlocks, and nothing else: error 1020 of InnoDB's snapshot isolation left a server in ERROR."""
    members.sql(
        "mariadb", "CREATE TABLE nova.raced (id INT PRIMARY KEY, state TEXT); INSERT INTO nova.raced VALUES (1, 'new')"
    )
    slow = (
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION; SELECT state FROM nova.raced; "
        "SELECT SLEEP(2); UPDATE nova.raced SET state = 'second' WHERE id = 1; COMMIT; SELECT 'committed'"
    )
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(members.sql, "mariadb", slow)
        time.sleep(1)
        members.sql("mariadb", "UPDATE nova.raced SET state = 'first' WHERE id = 1")
        assert (second.result() or ["failed"])[-1] == "committed"
    assert members.sql("mariadb", "SELECT state FROM nova.raced") == ["second"]
    members.sql("mariadb", "DROP TABLE nova.raced")


@pytest.mark.acceptance
def test_each_member_is_looked_at_and_any_that_serves_is_asked(members, looked_at):
    members.await_databases()
    until(lambda: standing(members) == dict.fromkeys(CLUSTERED, (3, 3, 3)), LIMIT, lambda: standing(members))
    look, engine, names = Inspector(), Engine(), ["mariadb-1", "mariadb-2-1", "mariadb-3-1"]
    assert [each.name for each in inspection.inspect_database(look, look.units())["members"]] == names
    assert judged(look) == {}
    assert inspection.inspect_queues(look, look.units())["queues"] is not None
    for name in ("mariadb", "rabbitmq"):
        members.container(name).stop()
    whole = dict.fromkeys(("mariadb", "rabbitmq"), (3, 2, 2)) | {"memcached": (3, 3, 3)}
    until(lambda: standing(members) == whole, LIMIT, lambda: standing(members))
    until(lambda: judged(look) == {}, LIMIT, lambda: judged(look))
    assert inspection.inspect_queues(look, look.units())["queues"] is not None
    assert schema.pending(engine, looked_at) == ["nova"]
    assert backup.serving_database(ContainerData(), look.units()) == f"{members.run}-mariadb-2-1"
    # Without a majority the last one refuses to answer, and that is what is said of it.
    members.container("mariadb-2").kill()
    until(lambda: "mariadb-3-1" in judged(look), LIMIT, lambda: judged(look))
    print(judged(look))
    assert schema.pending(engine, looked_at) is None
    for name in ("mariadb-2", "mariadb", "rabbitmq"):
        members.container(name).start()
    members.await_databases()
    until(lambda: standing(members) == dict.fromkeys(CLUSTERED, (3, 3, 3)), LIMIT, lambda: standing(members))


@pytest.mark.acceptance
def test_members_are_upgraded_one_at_a_time_under_a_writer(members, writer, looked_at, tmp_path):
    until(writer.writes, LIMIT, "the writer")
    before = {name: members.container(name).id for name in DATABASES}
    more = tmp_path / "more.json"
    more.write_text(json.dumps({"services": {name: {"environment": {"NEWER": "1"}} for name in DATABASES}}))
    newer = replace(members.compose, files=(*members.compose.files, more))
    looked_at.control = newer
    engine, began = Engine(), time.time()
    replicas = replica_set(newer, engine, members.settings, Silent())
    assert upgrade.is_outdated(engine, looked_at, "mariadb")
    upgrade.replace_members(engine, looked_at, replicas, "mariadb", LIMIT)
    assert not upgrade.is_outdated(engine, looked_at, "mariadb")
    members.await_databases()
    until(writer.writes, LIMIT, "the writer")
    print(f"three members replaced in {time.time() - began:.1f} s, no commit for {writer.gap(began):.1f} s of these")
    assert not set(before.values()) & {members.container(name).id for name in DATABASES}
    assert kept(members, writer)
    # Nobody had to start the cluster anew: it was never gone.
    assert not any("galera: starting the cluster" in members.logs(name, "all") for name in DATABASES)


def test_the_writer_s_member_dies_and_another_takes_over(members, writer):
    mine = writer.journal[-1][2]
    began = time.time()
    members.crash(next(name for name in DATABASES if member(name) == mine))
    members.await_databases()
    until(writer.writes, LIMIT, "the writer")
    print(f"no commit for {writer.gap(began):.1f} s, all back after {time.time() - began:.1f} s")
    assert {node for _, moment, node in writer.journal if moment > time.time() - 1} != {mine}
    assert kept(members, writer)


def test_all_die_at_once_and_nothing_is_lost(members, writer):
    began = time.time()
    members.crash(*DATABASES, *BROKERS)
    members.await_databases()
    until(writer.writes, LIMIT, "the writer")
    print(f"no commit for {writer.gap(began):.1f} s, all back after {time.time() - began:.1f} s")
    assert kept(members, writer)
    until(lambda: len(members.passing("rabbitmq")) == 3, LIMIT)
    until(lambda: len(brokers(members)) == 3, LIMIT)


@pytest.mark.acceptance
def test_who_was_away_does_not_start_what_the_others_know_more_of(members, writer):
    members.container("mariadb-2").stop()
    time.sleep(1)
    writer.stop()
    # As `docker kill` does it, they stay away.
    for name in ("mariadb", "mariadb-3"):
        members.container(name).kill()
    members.container("mariadb-2").start()
    until(lambda: "may know of later commits" in members.logs("mariadb-2"), LIMIT)
    members.container("mariadb-3").start()
    time.sleep(5)
    assert not members.passing("mariadb")
    members.container("mariadb").start()
    members.await_databases()
    assert kept(members, writer)
    assert "galera: starting the cluster" not in members.logs("mariadb-2")
