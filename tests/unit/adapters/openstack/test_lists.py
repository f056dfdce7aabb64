"""What is read of a plain object is what would be read of the SDK's own."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from keystoneauth1.adapter import Adapter
from openstack.compute.v2.server import Server
from openstack.network.v2.port import Port

from provision.adapters.openstack import reads, session
from provision.adapters.openstack.cloud import Cloud
from provision.model.cluster import resources

SERVER = {
    "id": "v",
    "name": "a-worker-1",
    "status": "ACTIVE",
    "tenant_id": "p",
    "metadata": {resources.META_CLUSTER: "a", resources.META_ROLE: "worker", resources.META_SPEC: "s"},
    "addresses": {"a": [{"addr": "10.20.0.7", "version": 4, "OS-EXT-IPS:type": "fixed"}]},
    "flavor": {"original_name": "small", "vcpus": 1, "ram": 2048, "disk": 8},
    "image": {"id": "img", "links": []},
    "OS-EXT-STS:task_state": None,
    "OS-SRV-USG:launched_at": "2026-01-01T00:00:00.000000",
    "OS-EXT-AZ:availability_zone": "nova",
    "OS-EXT-SRV-ATTR:hostname": "a-worker-1",
    "links": [{"rel": "self", "href": "https://nova.example/v"}],
}
SERVERS = {
    "whole": {},
    "from a volume": {"image": ""},
    "of an old API": {"flavor": {"id": "1", "links": []}},
    "broken": {"status": "ERROR", "fault": {"message": "No valid host"}, "OS-SRV-USG:launched_at": None},
    "being deleted": {"OS-EXT-STS:task_state": "deleting"},
    "being built": {"status": "BUILD", "addresses": {}, "OS-EXT-AZ:availability_zone": ""},
    "a master": {"metadata": {resources.META_CLUSTER: "a", resources.META_ROLE: "master"}},
}
PORT = {
    "id": "p",
    "name": "a-master",
    "network_id": "n",
    "project_id": "p",
    "tenant_id": "p",
    "description": resources.mark("a"),
    "device_id": "v",
    "device_owner": "compute:nova",
    "fixed_ips": [{"subnet_id": "s", "ip_address": "10.20.0.5"}],
    "security_groups": ["g"],
    "port_security_enabled": True,
    "tags": ["x"],
    "binding:host_id": "compute-1",
}
PORTS = {
    "whole": {},
    "unsecured": {"port_security_enabled": False},
    "nothing is known": {"port_security_enabled": None, "device_id": "", "fixed_ips": []},
    "without the extension": {"port_security_enabled": ...},
    "of an old API": {"project_id": ...},
}


def body_of(whole, changes):
    return {key: value for key, value in (whole | changes).items() if value is not ...}


class Page:
    """One page, as the API answers."""

    status_code = 200
    headers, links = {}, {}

    def __init__(self, **body):
        self.body = body

    def json(self):
        return self.body


class Service(Adapter):
    """A service with one page of each list."""

    def __init__(self, kind, *bodies):
        self.page, self.asked = {kind: [dict(each) for each in bodies]}, []

    def get(self, url, params, **_):
        self.asked.append((url, params))
        return Page(**self.page)

    def _get_connection(self):
        return None


@pytest.fixture(autouse=True)
def _one_version(monkeypatch):
    for kind in (Server, Port):
        monkeypatch.setattr(kind, "_get_microversion", classmethod(lambda *_, **__: None))


@pytest.mark.parametrize("case", SERVERS)
def test_servers(case):
    body = body_of(SERVER, SERVERS[case])
    compute = Service("servers", body)
    (plain,) = session.list_servers(SimpleNamespace(compute=compute), details=True)
    theirs = Server.existing(**body)
    cloud = Cloud("test", SimpleNamespace(compute=None))
    cloud._flavors = {"1": SimpleNamespace(name="small")}
    assert cloud._server(plain) == cloud._server(theirs)
    assert (plain.project_id, plain.metadata, plain.hostname) == (theirs.project_id, theirs.metadata, theirs.hostname)
    assert compute.asked == [("/servers/detail", {})]


@pytest.mark.parametrize("case", PORTS)
def test_ports(case):
    """But for port security: of a cloud without it the SDK says that security groups have no effect."""
    body = body_of(PORT, PORTS[case])
    network = Service("ports", body)
    (plain,) = session.list_ports(SimpleNamespace(network=network), network_id="n")
    theirs = Port.existing(**body)

    def read(port):
        base = {"id": port.id, "name": port.name or "", "tagged": {"x"} <= set(port.tags or [])}
        return reads._port(port, base, marked=port.description == resources.mark("a"), worker=False, hub=False)

    assert replace(read(plain), secured=True) == replace(read(theirs), secured=True)
    assert read(plain).secured is (body.get("port_security_enabled") is not False)
    assert plain.project_id == theirs.project_id
    ((path, query),) = network.asked
    assert (path, query) == ("/ports", {"network_id": "n", "fields": query["fields"]})
    # Of what was not asked for nothing would be read.
    assert set(query["fields"]) >= set(PORT) - {"binding:host_id"}


def test_names_alone():
    compute = Service("servers", {"id": "v", "name": "a-worker-1", "links": []})
    (plain,) = session.list_servers(SimpleNamespace(compute=compute), details=False, status="BUILD")
    assert (plain.id, plain.name, plain.status) == ("v", "a-worker-1", None)
    assert compute.asked == [("/servers", {"status": "BUILD"})]


@pytest.mark.parametrize(("hostnames", "microversion"), [(False, "2.72"), (True, "2.90")])
def test_only_a_list_with_hostnames_has_nova_read_them(monkeypatch, hostnames, microversion):
    asked = []

    def negotiated(kind, *_, **__):
        asked.append(kind._max_microversion)

    monkeypatch.setattr(Server, "_get_microversion", classmethod(negotiated))
    compute = SimpleNamespace(compute=Service("servers", SERVER))
    (plain,) = session.list_servers(compute, details=True, hostnames=hostnames)
    assert (plain.id, set(asked)) == ("v", {microversion})


def test_a_server_of_a_cell_that_is_down_has_no_metadata():
    # https://docs.openstack.org/api-guide/compute/down_cells.html
    body = {"id": "v", "tenant_id": "p", "created": "2026-01-01T00:00:00Z", "status": "UNKNOWN", "links": []}
    (plain,) = session.list_servers(SimpleNamespace(compute=Service("servers", body)), details=True)
    assert (plain.status, plain.metadata, plain.project_id) == ("UNKNOWN", None, "p")
    assert reads._hidden([plain]) == {"v"}


def listed_as(monkeypatch, *lists):
    """Have Nova list these servers, one list after the other; return how many are left."""
    left = [list(each) for each in lists]
    monkeypatch.setattr(reads, "list_servers", lambda _connection, *, details: left.pop(0))
    cloud = Cloud("test", SimpleNamespace(current_project_id="p"))
    return [item.id for item in cloud._whole_list()], len(left)


def some(count, status, missing=()):
    ids = [f"v{number}" for number in range(count) if number not in missing]
    return [SimpleNamespace(id=each, status=status, project_id="p") for each in ids]


def test_a_server_that_slips_between_two_pages_while_it_is_built_is_found(monkeypatch):
    lists = some(150, "BUILD", {7}), some(150, "BUILD", {9}), some(150, "BUILD", {3})
    ids, left = listed_as(monkeypatch, *lists)
    assert sorted(ids) == sorted(item.id for item in some(150, "BUILD"))
    assert left == 0


@pytest.mark.parametrize("found", [some(2000, "ACTIVE"), some(90, "BUILD")])
def test_what_cannot_move_is_listed_once(monkeypatch, found):
    ids, left = listed_as(monkeypatch, found, found)
    assert (len(ids), left) == (len(found), 1)


def in_order(monkeypatch, servers):
    """Have Nova list these servers as it is asked to; return the ids that are found of about 500, and the questions."""
    asked = []

    def listed(_connection, *, details, hostnames=False, limit=1000, sort_key="", sort_dir="desc", marker=""):
        asked.append((sort_key, sort_dir, int(limit), marker))
        found = sorted(servers, key=lambda item: item.id, reverse=sort_dir == "desc")
        return [item for item in found if not marker or (sort_dir == "asc" and item.id > marker)][: int(limit)]

    monkeypatch.setattr(reads, "list_servers", listed)
    cloud = Cloud("test", SimpleNamespace(current_project_id="p"))
    return [item.id for item in cloud._whole_list(500)], asked


@pytest.mark.parametrize(("count", "more"), [(0, 0), (1, 0), (500, 0), (519, 0), (521, 1), (800, 3)])
def test_of_many_both_halves_are_listed_at_once_and_what_is_between_them_then(monkeypatch, count, more):
    servers = some(count, "ACTIVE")
    ids, asked = in_order(monkeypatch, servers)
    assert sorted(ids) == sorted(item.id for item in servers)
    assert sorted(asked[:2]) == [("uuid", "asc", 260, ""), ("uuid", "desc", 260, "")]
    assert [limit for _, _, limit, _ in asked[2:]] == [100] * more


def test_while_servers_are_built_their_order_says_nothing(monkeypatch):
    ids, asked = in_order(monkeypatch, some(20, "ACTIVE") + some(500, "BUILD", range(20)))
    assert len(ids) == 500
    assert {key for key, *_ in asked[2:]} == {""}
