"""Three members of MariaDB, RabbitMQ and memcached, from the cloud's own Compose files: formed, killed, and back."""

from __future__ import annotations

import json
import time

import pytest

from .members import DATABASES, LIMIT, Members, Writer, member
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
    lines = members.sql(service, "SELECT number FROM nova.journal")
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
