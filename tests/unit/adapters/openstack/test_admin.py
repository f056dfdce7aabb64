"""The local cloud's own lists, with an SDK of plain objects: what they report, and what is taken out of them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import SimpleNamespace

import openstack
import pytest
from keystoneauth1.exceptions import BadGateway, ConnectFailure, InternalServerError, Unauthorized
from openstack.exceptions import SDKException

from provision.adapters.openstack import admin as module
from provision.adapters.openstack.admin import Admin
from provision.base.errors import ProvisionError
from provision.model.localcloud.doctor.observed import Endpoint, Worker


def service(host, binary, state="up", **fields):
    return SimpleNamespace(
        **{"host": host, "binary": binary, "state": state, "status": "enabled", "disabled_reason": None,
           "updated_at": "2026-01-02T03:04:05", **fields}
    )  # fmt: skip


def agent(host, kind, *, alive=True):
    return SimpleNamespace(
        host=host, agent_type=kind, is_alive=alive, is_admin_state_up=True, last_heartbeat_at="2026-01-02 03:04:05"
    )


class Nova:
    def __init__(self, *services):
        self.listed = list(services)
        self.cells = []
        self.error = None

    def services(self, **query):
        if self.error:
            raise self.error
        return [each for each in self.listed if all(getattr(each, key) == query[key] for key in query)]

    def delete_service(self, entry):
        self.listed.remove(entry)

    def hypervisors(self, *, details):
        return [SimpleNamespace(name=name) for name in self.cells]


class Neutron:
    def __init__(self, *agents):
        self.listed = list(agents)

    def agents(self, **query):
        return [each for each in self.listed if all(getattr(each, key) == query[key] for key in query)]

    def delete_agent(self, entry):
        self.listed.remove(entry)


@pytest.fixture(name="admin")
def _admin(monkeypatch):
    def log_in(nova=None, neutron=None, **services):
        session = SimpleNamespace(session=SimpleNamespace(trust_env=True), auth=services.pop("auth", None))
        cloud = SimpleNamespace(compute=nova or Nova(), network=neutron or Neutron(), session=session, **services)
        log_in.clouds.append(cloud)
        monkeypatch.setattr(openstack, "connect", lambda **login: logins.append(login) or cloud)
        return Admin({"region_name": "RegionOne"}, timeout=20)

    logins = log_in.logins = []
    log_in.clouds = []
    return log_in


def test_every_replica_has_to_report_itself(admin):
    nova = Nova(
        service("nova-scheduler-1", "nova-scheduler"),
        service("nova-conductor-1", "nova-conductor"),
        service("nova-conductor-2", "nova-conductor", "down"),
    )
    assert admin(nova).missing_services(()) == {}
    assert admin(nova).missing_services((), {"nova-conductor": 3, "nova-api": 2}) == {
        "nova-conductor-2": "reported down",
        "nova-conductor-3": "not reported yet",
    }


def test_a_hypervisor_needs_a_compute_service_agents_and_a_cell(admin):
    nova = Nova(service("nova-scheduler-1", "nova-scheduler"), service("nova-conductor-1", "nova-conductor"))
    neutron = Neutron(agent("host-1", "OVN Controller agent", alive=False))
    assert admin(nova, neutron).missing_services(["host-1"]) == {
        "host-1 nova-compute": "not reported yet",
        "host-1 OVN controller": "reported down",
        "host-1 OVN metadata": "not reported yet",
        "host-1 hypervisor": "not yet in a cell",
    }
    nova.listed.append(service("host-1", "nova-compute"))
    nova.cells = ["host-1"]
    neutron = Neutron(agent("host-1", "OVN Controller Gateway agent"), agent("host-1", "OVN Metadata agent"))
    assert admin(nova, neutron).missing_services(["host-1"]) == {}


@pytest.mark.parametrize("error", [SDKException("503\nmore"), ConnectFailure("503\nmore")])
def test_a_nova_that_does_not_answer_is_missing_itself(admin, error):
    nova = Nova()
    nova.error = error
    assert admin(nova).missing_services(()) == {"the cloud's APIs": "Nova does not answer: 503"}
    with pytest.raises(ProvisionError, match=r"^Nova does not answer: 503$"):
        admin(nova).compute_services()


def test_replicas_that_are_gone_are_forgotten_and_nothing_else(admin):
    nova = Nova(
        service("nova-scheduler", "nova-scheduler", "down"),  # before replicas had numbers
        service("nova-scheduler-1", "nova-scheduler", "down"),
        service("nova-conductor-2", "nova-conductor"),
        service("nova-conductor-3", "nova-conductor"),
        service("compute-9", "nova-compute", "down"),
    )
    assert admin(nova).forget_services({"nova-conductor": 2}) == ["nova-scheduler", "nova-conductor-3"]
    assert [each.host for each in nova.listed] == ["nova-scheduler-1", "nova-conductor-2", "compute-9"]
    nova.error = SDKException("no answer")
    assert admin(nova).forget_services({}) == []


def test_a_hypervisor_that_is_gone_is_forgotten_by_nova_and_neutron(admin):
    nova = Nova(*(service(host, "nova-compute") for host in ("host-1", "host-2")))
    neutron = Neutron(*(agent(host, "OVN Metadata agent") for host in ("host-1", "host-2", "host-2")))
    admin(nova, neutron).forget_hypervisor("host-2")
    assert [each.host for each in (*nova.listed, *neutron.listed)] == ["host-1", "host-1"]


def test_services_and_agents_are_read_alike(admin):
    seen = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    nova = Nova(service("host-1", "nova-compute", "down", status="disabled", disabled_reason="maintenance"))
    reader = admin(nova, Neutron(agent("host-1", "OVN Metadata agent")))
    assert reader.compute_services() == (
        Worker("nova-compute", "host-1", up=False, enabled=False, reason="maintenance", seen=seen),
    )
    assert reader.network_agents() == (Worker("OVN Metadata agent", "host-1", up=True, enabled=True, seen=seen),)


def test_endpoints_of_services_that_are_gone_are_left_out(admin):
    identity = SimpleNamespace(
        services=lambda: [SimpleNamespace(id="s", type="compute", name="nova")],
        endpoints=lambda: [
            SimpleNamespace(service_id="s", interface="public", url="http://127.0.0.1:8774"),
            SimpleNamespace(service_id="gone", interface="public", url="http://127.0.0.1:1"),
        ],
    )
    assert admin(identity=identity).endpoints() == (Endpoint("compute", "nova", "public", "http://127.0.0.1:8774"),)


def test_keystones_clock_is_compared_with_ours(admin):
    class Auth:
        def get_access(self, session):
            return SimpleNamespace(issued=datetime.fromtimestamp(time.time() + 60, UTC))

    clock = admin(auth=Auth()).clock()
    assert clock.whose == "Keystone's host"
    assert 60 <= clock.ahead <= 61


@pytest.mark.parametrize("error", [BadGateway, InternalServerError, ConnectFailure])
def test_a_keystone_whose_database_is_late_is_waited_for(admin, monkeypatch, error):
    errors = [error(), error()]
    monkeypatch.setattr(time, "sleep", lambda seconds: None)

    class Auth:
        def get_access(self, session):
            if errors:
                raise errors.pop()

    reader = admin(auth=Auth())
    assert reader.logged_in() is reader.connection
    assert errors == []


def test_a_keystone_that_stays_without_one_is_named_and_a_refusal_is_not_waited_for(admin, monkeypatch):
    monkeypatch.setattr(module, "READY_TIMEOUT", -1)

    class Auth:
        error = BadGateway()

        def get_access(self, session):
            raise self.error

    with pytest.raises(ProvisionError, match="Keystone gives no token"):
        admin(auth=Auth()).logged_in()
    Auth.error = Unauthorized()
    with pytest.raises(Unauthorized):
        admin(auth=Auth()).logged_in()


def test_it_logs_in_once_and_again_after_renew(admin):
    reader = admin()
    assert admin.logins == []
    reader.compute_services()
    reader.network_agents()
    assert admin.logins == [
        {"load_yaml_config": False, "load_envvars": False, "region_name": "RegionOne", "api_timeout": 20}
    ]
    assert not admin.clouds[0].session.session.trust_env, "a proxy must not be asked for this machine's own cloud"
    reader.renew()
    reader.compute_services()
    assert len(admin.logins) == 2


@pytest.mark.parametrize(("status", "problem"), [(200, ""), (300, ""), (503, "starting"), (500, "answers 500")])
def test_an_api_answers_or_its_problem_is_said(http_server, status, problem):
    http_server.status = status
    assert Admin({}).api_problem(http_server.url) == problem


def test_an_api_that_is_away():
    assert Admin({}).api_problem("http://127.0.0.1:1") == "no connection"


def test_a_login_is_kept_where_all_was_well_and_forgotten_where_it_was_not(monkeypatch):
    said = []

    class Token:
        def __init__(self, auth):
            said.append(f"of {auth}")

        load = keep = forget = None

    for name in ("load", "keep", "forget"):
        setattr(Token, name, lambda self, name=name: said.append(name))
    monkeypatch.setattr("provision.adapters.openstack.admin.KeptToken", Token)
    admin = Admin({})
    services = {"identity": 1, "compute": 2, "network": 3}
    admin.__dict__["connection"] = SimpleNamespace(session=SimpleNamespace(auth="admin"), **services)
    with admin.kept_login():
        said.append("asked")
    assert said == ["of admin", "load", "asked", "keep"]
    said.clear()
    with pytest.raises(SDKException), admin.kept_login():
        raise SDKException("refused")
    assert said == ["of admin", "load", "forget"]
