"""Keys, sessions and transactions, as Consul's HTTP API has them."""

from __future__ import annotations

import base64
import json

import pytest

from provision.adapters.consul.http import ConsulRefusedError, ConsulUnavailableError
from provision.adapters.consul.kv import ConsulKeys, KeyEntry, drop_key, held, set_key, unchanged


@pytest.fixture(name="keys")
def _keys(http_server):
    return ConsulKeys(http_server.url)


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def test_a_session_ends_with_what_it_holds(http_server, keys):
    http_server.body = b'{"ID": "s1"}'
    assert keys.begin_session("galera mariadb-1", 15) == "s1"
    method, path, body, _ = http_server.requests[0]
    assert (method, path) == ("PUT", "/v1/session/create")
    assert json.loads(body) == {"Name": "galera mariadb-1", "TTL": "15s", "Behavior": "delete", "LockDelay": "0s"}
    keys.end_session("s1")
    assert http_server.requests[1][:2] == ("PUT", "/v1/session/destroy/s1")


def test_a_session_that_has_ended_is_told_from_a_consul_that_is_not_ready(http_server, keys):
    http_server.answers = [(200, b"[]"), (404, b'Session id "s1" not found'), (403, b"ACL not found")]
    assert keys.renew("s1")
    assert not keys.renew("s1")
    with pytest.raises(ConsulUnavailableError):
        keys.renew("s1")


def test_a_key_is_held_by_one_session(http_server, keys):
    http_server.answers = [(200, b"true"), (200, b"false"), (500, b'invalid session "s1"')]
    assert keys.hold("galera/lock", "mariadb-1", "s1")
    assert http_server.requests[0][:3] == ("PUT", "/v1/kv/galera/lock?acquire=s1", b"mariadb-1")
    assert not keys.hold("galera/lock", "mariadb-1", "s1")
    with pytest.raises(ConsulRefusedError, match="invalid session"):
        keys.hold("galera/lock", "mariadb-1", "s1")


def test_keys_are_read_by_their_start(http_server, keys):
    listed = [
        {"Key": "galera/lock", "Value": encoded("mariadb-1"), "Session": "s1", "ModifyIndex": 7},
        {"Key": "galera/start", "Value": None, "ModifyIndex": 8},
    ]
    http_server.answers = [(200, json.dumps(listed).encode()), (404, b"")]
    assert keys.read("galera/") == {
        "galera/lock": KeyEntry("mariadb-1", "s1", 7),
        "galera/start": KeyEntry("", "", 8),
    }
    assert keys.read("galera/") == {}
    assert {path for _, path, *_ in http_server.requests} == {"/v1/kv/galera/?recurse=true"}


def test_a_commit_is_all_or_nothing(http_server, keys):
    entry = KeyEntry("x", "", 7)
    operations = [unchanged("a", entry), unchanged("b", None), held("c", "s1"), set_key("d", "new"), drop_key("e")]
    http_server.answers = [(200, b"{}"), (409, b'{"Errors": []}'), (500, b"no"), (500, b"No cluster leader")]
    assert keys.commit(operations)
    method, path, body, _ = http_server.requests[0]
    assert (method, path) == ("PUT", "/v1/txn")
    assert json.loads(body) == [
        {"KV": {"Verb": "check-index", "Key": "a", "Index": 7}},
        {"KV": {"Verb": "check-not-exists", "Key": "b"}},
        {"KV": {"Verb": "check-session", "Key": "c", "Session": "s1"}},
        {"KV": {"Verb": "set", "Key": "d", "Value": encoded("new")}},
        {"KV": {"Verb": "delete", "Key": "e"}},
    ]
    assert not keys.commit(operations)
    with pytest.raises(ConsulRefusedError):
        keys.commit(operations)
    with pytest.raises(ConsulUnavailableError):
        keys.commit(operations)
