"""What the quotas leave, and clouds that do not say it."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import pytest
import requests

from provision.adapters.openstack import session
from provision.adapters.openstack.cloud import Cloud, TransientError
from provision.base.errors import ProvisionError

NOVA = {"instances": 6, "RAM (MiB)": 1024, "server groups": 7, "servers in a server group": 8}


def response(status, document, **headers):
    made = requests.Response()
    text = document if isinstance(document, str) else json.dumps(document)
    made.status_code, made.raw = status, io.BytesIO(text.encode())
    made.headers.update({"Content-Type": "application/json", **headers})
    return made


@pytest.fixture
def answers():
    """What Neutron answers, one after the other; the last again and again."""
    return []


@pytest.fixture
def cloud(answers):
    limits = {"instances": 10, "instances_used": 4, "total_cores": -1, "total_cores_used": 0}
    limits |= {"total_ram": 1024, "total_ram_used": None}
    limits |= {"server_groups": 10, "server_groups_used": 3, "server_group_members": 8}
    compute = SimpleNamespace(get_limits=lambda: SimpleNamespace(absolute=SimpleNamespace(**limits)))
    network = SimpleNamespace(get=lambda url: answers.pop(0) if len(answers) > 1 else answers[0])
    return Cloud("test", SimpleNamespace(network=network, compute=compute, current_project_id="p"))


@pytest.fixture
def slept(monkeypatch):
    naps = []
    monkeypatch.setattr(session.time, "sleep", naps.append)
    return naps


def test_room_is_what_quotas_leave(cloud, answers):
    network = {"port": {"limit": 50, "used": 8, "reserved": 2}, "router": {"limit": -1, "used": 1}}
    network |= {"floatingip": {"limit": 3, "used": 1}, "security_group_rule": {"limit": 100, "used": 60}}
    answers.append(response(200, {"quota": network}))
    assert cloud.room() == NOVA | {"ports": 40, "floating IPs": 2, "security group rules": 40}


@pytest.mark.parametrize("status", [400, 403, 404, 405, 500, 501])
def test_a_cloud_that_does_not_say_them_is_not_asked_for_long(cloud, answers, slept, status):
    answers.append(response(status, {"NeutronError": {"message": "no", "type": "x", "detail": ""}}))
    assert cloud.room() == NOVA
    assert slept == []


@pytest.mark.parametrize(
    "document",
    [
        {"quota": {"network": 10, "port": {"limit": None}, "router": {"limit": "many"}}},
        {"quota": 10},
        {},
        [],
        "<html>",
    ],
)
def test_quotas_without_details_are_not_known(cloud, answers, slept, document):
    answers.append(response(200, document))
    assert cloud.room() == NOVA
    assert slept == []


def test_too_many_requests_are_waited_for(cloud, answers, slept):
    answers += [response(429, {}, **{"Retry-After": "7"}), response(200, {"quota": {"port": {"limit": 5}}})]
    assert cloud.room() == NOVA | {"ports": 5}
    assert slept == [7]


def test_a_login_that_is_over_is_said(cloud, answers):
    answers.append(response(401, {}))
    with pytest.raises(ProvisionError, match="reading network quotas") as caught:
        cloud.room()
    assert not isinstance(caught.value, TransientError)
