"""Consul's policies and tokens, read and changed with the management token."""

from __future__ import annotations

import json

import pytest

from provision.adapters.consul.acl import AccessRules
from provision.adapters.consul.http import ConsulUnavailableError
from provision.model.localcloud.consul_acl import Request


@pytest.fixture(name="rules")
def _rules(http_server):
    return AccessRules(http_server.url, "management")


def test_rules_are_read_and_changed_with_the_token(http_server, rules):
    documents = [{"AccessorID": "me"}, [{"Name": "p"}], [{"AccessorID": "t"}], {}]
    http_server.answers = [(200, json.dumps(each).encode()) for each in documents]
    assert rules.accessor() == "me"
    assert rules.policies() == [{"Name": "p"}]
    assert rules.tokens() == [{"AccessorID": "t"}]
    rules.send(Request("PUT", "/v1/acl/policy", {"Name": "q"}))
    assert [request[:2] for request in http_server.requests] == [
        ("GET", "/v1/acl/token/self"),
        ("GET", "/v1/acl/policies"),
        ("GET", "/v1/acl/tokens"),
        ("PUT", "/v1/acl/policy"),
    ]
    assert json.loads(http_server.requests[-1][2]) == {"Name": "q"}
    assert {request[3]["X-Consul-Token"] for request in http_server.requests} == {"management"}


def test_consul_does_not_know_the_token_yet(http_server, rules):
    http_server.status, http_server.body = 403, b"ACL not found"
    with pytest.raises(ConsulUnavailableError):
        rules.policies()
