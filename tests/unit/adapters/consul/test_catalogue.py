"""The services and checks of a Consul agent, read and changed."""

from __future__ import annotations

import json

import pytest

from provision.adapters.consul.catalogue import Catalogue
from provision.adapters.consul.http import ConsulRefusedError


@pytest.fixture(name="catalogue")
def _catalogue(http_server):
    return Catalogue(http_server.url)


def answer(server, *documents):
    server.answers = [(200, json.dumps(document).encode()) for document in documents]


def test_ids_with_slashes_and_colons_arrive_whole(http_server, catalogue):
    catalogue.heartbeat("h:a/b:80:udp", "passing", "fine")
    catalogue.deregister("h:a/b:80:udp")
    assert [path for _, path, *_ in http_server.requests] == [
        "/v1/agent/check/update/service:h:a/b:80:udp",
        "/v1/agent/service/deregister/h:a/b:80:udp",
    ]
    assert json.loads(http_server.requests[0][2]) == {"Status": "passing", "Output": "fine"}


def test_what_is_gone_already_is_no_error(http_server, catalogue):
    http_server.answers = [(404, b'Unknown service ID "x"'), (403, b"Permission denied")]
    catalogue.deregister("x")
    with pytest.raises(ConsulRefusedError):
        catalogue.deregister("x")


def test_a_service_is_registered_with_its_checks_in_place_of_what_was_there(http_server, catalogue):
    catalogue.register({"ID": "x"})
    method, path, body, _ = http_server.requests[0]
    assert (method, path) == ("PUT", "/v1/agent/service/register?replace-existing-checks=true")
    assert json.loads(body) == {"ID": "x"}


def test_statuses_by_service(http_server, catalogue):
    answer(
        http_server,
        {
            "service:a": {"ServiceID": "a", "Status": "passing"},
            "serfHealth": {"ServiceID": "", "Status": "passing"},
        },
    )
    assert catalogue.statuses() == {"a": "passing"}


def test_a_service_in_maintenance_has_its_own_status_still(http_server, catalogue):
    checks = {
        "service:a": {"ServiceID": "a", "Status": "passing"},
        "_service_maintenance:a": {"ServiceID": "a", "Status": "critical"},
    }
    answer(http_server, checks, checks)
    assert catalogue.statuses() == {"a": "passing"}
    assert set(catalogue.checks()) == {"service:a", "_service_maintenance:a"}


def test_what_is_in_maintenance(http_server, catalogue):
    own = {"service:a": {"ServiceID": "a", "Status": "critical"}}
    answer(http_server, own | {"_service_maintenance:h:b:80": {"ServiceID": "h:b:80", "Status": "critical"}})
    assert catalogue.in_maintenance() == {"h:b:80"}


def test_maintenance(http_server, catalogue):
    catalogue.maintain("h:a/b:80", "this copy leaves")
    catalogue.resume("h:a/b:80")
    assert [request[:2] for request in http_server.requests] == [
        ("PUT", "/v1/agent/service/maintenance/h:a/b:80?enable=true&reason=this copy leaves"),
        ("PUT", "/v1/agent/service/maintenance/h:a/b:80?enable=false"),
    ]


def test_healthy_instances_by_id_and_by_container(http_server, catalogue):
    found = [{"Service": {"ID": "h:db:1", "Address": "192.0.2.1", "Meta": {"container": "0123456789ab"}}}]
    answer(http_server, found, found)
    assert catalogue.passing("mariadb") == {"h:db:1": "192.0.2.1"}
    assert catalogue.containers("mariadb") == {"0123456789ab"}
    assert {path for _, path, *_ in http_server.requests} == {"/v1/health/service/mariadb?passing=true"}


def test_a_container_is_healthy_when_all_its_services_are(http_server, catalogue):
    def entry(container, *statuses):
        meta = {"container": container} if container else None
        return {"Service": {"Meta": meta}, "Checks": [{"Status": status} for status in statuses]}

    answer(
        http_server,
        {"web": [], "api": []},
        [entry("c1", "passing"), entry("c2", "passing", "critical"), entry("")],
        [entry("c1", "warning"), entry("c3")],
    )
    assert catalogue.container_health() == {"c1": False, "c2": False, "c3": True}


def test_consul_itself(http_server, catalogue):
    answer(http_server, [{"Name": "h", "Status": 1}], [{"ServiceID": "a"}], {"Member": {"Addr": "192.0.2.7"}}, "")
    http_server.headers = {"X-Any": "1"}
    assert catalogue.members() == [{"Name": "h", "Status": 1}]
    assert catalogue.states() == [{"ServiceID": "a"}]
    assert catalogue.address() == "192.0.2.7"
    assert catalogue.date().endswith("GMT")
