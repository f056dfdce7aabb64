"""Consul's policies and tokens, written until Consul has them."""

from __future__ import annotations

import uuid

import pytest

from provision.adapters.consul.http import ConsulUnavailableError
from provision.base.poll import Pending
from provision.model.localcloud.consul_acl import ACCESSES
from provision.operations.localcloud.shared import consul_acl

SECRETS = {each.name: str(uuid.uuid4()) for each in ACCESSES}
PASSWORDS = {"consul_management": "m"} | {f"consul_{name}": secret for name, secret in SECRETS.items()}


class FakeRules:
    """Consul's rules: as they are at first, and what is sent."""

    def __init__(self, url, token):
        self.sent, self.away = [], False
        self.opened = (url, token)

    def policies(self):
        if self.away:
            raise ConsulUnavailableError("Consul does not answer")
        return []

    def tokens(self):
        return []

    def accessor(self):
        return "a"

    def send(self, request):
        self.sent.append(request)


@pytest.fixture
def rules(monkeypatch):
    rules = FakeRules("", "")

    def connect(url, token):
        rules.opened = (url, token)
        return rules

    monkeypatch.setattr(consul_acl, "AccessRules", connect)
    return rules


def test_every_client_gets_its_token(rules):
    assert consul_acl.ensure_access("http://consul:8500", PASSWORDS) is None
    assert rules.opened == ("http://consul:8500", "m")
    written = repr(rules.sent)
    assert all(secret in written for secret in SECRETS.values())


def test_a_client_without_a_password_gets_none(rules):
    """An older version has not made it."""
    name = ACCESSES[0].name
    known = {key: value for key, value in PASSWORDS.items() if key != f"consul_{name}"}
    consul_acl.ensure_access("http://consul:8500", known)
    assert SECRETS[name] not in repr(rules.sent)
    assert rules.sent


def test_consul_that_does_not_answer_is_waited_for(rules):
    rules.away = True
    assert consul_acl.ensure_access("http://consul:8500", PASSWORDS) == Pending("Consul")
    assert rules.sent == []
