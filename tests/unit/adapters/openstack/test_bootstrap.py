"""A new OpenStack is given what it lacks, with an SDK in memory; what is there stays."""

from __future__ import annotations

from types import SimpleNamespace

import openstack
import pytest

from provision.adapters.openstack import bootstrap
from provision.adapters.openstack.admin import Admin
from provision.model.localcloud.settings import EXTERNAL_NETWORK, FLAVORS, PROJECT, Settings, apis

SETTINGS = Settings()
SERVICES = [api for api in apis(SETTINGS) if api.user and not api.idle]
PASSWORDS = {api.user: f"{api.user}-password" for api in apis(SETTINGS) if api.user} | {PROJECT: "own"}


def named(name, **fields):
    return SimpleNamespace(id=f"id-of-{name}", name=name, **fields)


class Identity:
    def __init__(self):
        self.kinds = {"role": [named("admin")], "project": [], "user": [], "service": [], "endpoint": []}
        self.assignments = []
        self.updated = []

    def find_domain(self, name, *, ignore_missing):
        return SimpleNamespace(id="default")

    def roles(self):
        return self.kinds["role"]

    def projects(self, domain_id):
        return self.kinds["project"]

    def users(self, domain_id):
        return self.kinds["user"]

    def services(self):
        return self.kinds["service"]

    def endpoints(self):
        return self.kinds["endpoint"]

    def role_assignments(self):
        return self.assignments

    def _make(self, kind, name, **fields):
        self.kinds[kind].append(named(name, **fields))
        return self.kinds[kind][-1]

    def create_role(self, name):
        return self._make("role", name)

    def create_project(self, name, domain_id):
        return self._make("project", name)

    def create_user(self, name, password, domain_id):
        return self._make("user", name, password=password)

    def create_service(self, name, type):  # noqa: A002
        return self._make("service", name, type=type)

    def create_endpoint(self, *, service_id, interface, url, region_id):
        return self._make("endpoint", f"{service_id}-{interface}", service_id=service_id, interface=interface, url=url)

    def update_endpoint(self, endpoint, *, url):
        endpoint.url = url

    def update_user(self, user, *, password):
        user.password = password

    def assign_project_role_to_user(self, project, user, role):
        self.assignments.append(
            SimpleNamespace(user={"id": user.id}, scope={"project": {"id": project.id}}, role={"id": role.id})
        )


class Network:
    def __init__(self):
        self.networks, self.listed = [], []

    def find_network(self, name):
        return next((each for each in self.networks if each.name == name), None)

    def create_network(self, name, **fields):
        self.networks.append(named(name, **fields))
        return self.networks[-1]

    def subnets(self, network_id):
        return [each for each in self.listed if each.network_id == network_id]

    def create_subnet(self, **fields):
        self.listed.append(SimpleNamespace(**fields))


class Compute:
    def __init__(self):
        self.made = []

    def flavors(self, *, details):
        return self.made

    def create_flavor(self, **fields):
        self.made.append(SimpleNamespace(**fields))


@pytest.fixture(name="cloud")
def _cloud(monkeypatch):
    auth = SimpleNamespace(get_access=lambda session: None)
    session = SimpleNamespace(session=SimpleNamespace(trust_env=True), auth=auth)
    cloud = SimpleNamespace(identity=Identity(), network=Network(), compute=Compute(), session=session)
    monkeypatch.setattr(openstack, "connect", lambda **_: cloud)
    return cloud


@pytest.fixture(name="noted")
def _noted():
    return []


def test_accounts_are_made_once_with_their_roles(cloud, noted):
    bootstrap.ensure_accounts(Admin({}), SETTINGS, PASSWORDS, noted.append)
    users = {user.name: user.password for user in cloud.identity.kinds["user"]}
    assert users == {name: PASSWORDS[name] for name in (*(api.user for api in SERVICES), PROJECT)}
    roles = {(each.user["id"], each.scope["project"]["id"], each.role["id"]) for each in cloud.identity.assignments}
    assert ("id-of-nova", "id-of-service", "id-of-admin") in roles
    assert {role for user, _, role in roles if user == f"id-of-{PROJECT}"} == {"id-of-member", "id-of-reader"}
    assert f"user {PROJECT}" in noted
    noted.clear()
    bootstrap.ensure_accounts(Admin({}), SETTINGS, PASSWORDS, noted.append)
    assert noted == []
    assert len(cloud.identity.assignments) == len(roles)


def test_an_endpoint_follows_its_address(cloud, noted):
    bootstrap.ensure_accounts(Admin({}), SETTINGS, PASSWORDS, noted.append)
    endpoints = cloud.identity.kinds["endpoint"]
    assert len(endpoints) == 2 * len(SERVICES)
    address, endpoints[0].url = endpoints[0].url, "http://elsewhere"
    noted.clear()
    bootstrap.ensure_accounts(Admin({}), SETTINGS, PASSWORDS, noted.append)
    assert endpoints[0].url == address
    assert noted == [f"endpoint {SERVICES[0].type} public at {address}"]


def test_passwords_are_reset_for_our_accounts_alone(cloud):
    cloud.identity.kinds["user"] = [named("nova", password="old"), named("somebody", password="theirs")]
    bootstrap.reset_passwords(Admin({}), SETTINGS, PASSWORDS)
    assert [user.password for user in cloud.identity.kinds["user"]] == ["nova-password", "theirs"]


def test_flavors_and_the_external_network_are_made_once(cloud, noted):
    cloud.compute.create_flavor(name="m1.tiny")
    bootstrap.ensure_resources(Admin({}), SETTINGS, noted.append)
    assert noted == [*(f"flavor {flavor.name}" for flavor in FLAVORS[1:]), f"network {EXTERNAL_NETWORK}"]
    (subnet,) = cloud.network.listed
    assert (subnet.cidr, subnet.network_id) == (str(SETTINGS.provider), f"id-of-{EXTERNAL_NETWORK}")
    noted.clear()
    bootstrap.ensure_resources(Admin({}), SETTINGS, noted.append)
    assert noted == []
    assert len(cloud.network.listed) == 1


def test_a_network_whose_subnet_was_never_made_gets_it(cloud, noted):
    cloud.network.create_network(EXTERNAL_NETWORK)
    bootstrap.ensure_resources(Admin({}), SETTINGS, noted.append)
    assert len(cloud.network.listed) == 1
