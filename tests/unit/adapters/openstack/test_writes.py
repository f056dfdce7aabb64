"""Changes to a cloud: what each sends, with an SDK that notes its calls."""

from __future__ import annotations

import base64
import gzip
from types import SimpleNamespace

import pytest
from openstack import exceptions as sdk

from provision.adapters.openstack.cloud import BusyError, Cloud
from provision.base.errors import ProvisionError
from provision.model.cluster import resources
from provision.model.cluster.resources import NODES, Rule

MARK = resources.mark("a")


class Recorder:
    """A service of the SDK: every method notes its name and arguments and returns `result`, or raises `error`."""

    def __init__(self):
        self.calls = []
        self.error = None
        self.result = SimpleNamespace(
            id="new", fixed_ips=[{"ip_address": "10.20.0.9"}], floating_ip_address="172.29.0.9", status_code=200
        )

    def __getattr__(self, name):
        def call(*arguments, **options):
            self.calls.append((name, *arguments, options))
            if self.error:
                raise self.error
            return self.result

        return call


@pytest.fixture(name="network")
def _network():
    network = Recorder()
    network.extensions = list
    return network


@pytest.fixture(name="compute")
def _compute():
    return Recorder()


@pytest.fixture(name="cloud")
def _cloud(network, compute):
    return Cloud("test", SimpleNamespace(network=network, compute=compute))


def test_everything_made_is_marked_in_the_same_request(cloud, network):
    assert cloud.create_network("a") == "new"
    assert cloud.create_subnet("a", "n", "10.20.0.0/24") == "new"
    assert cloud.create_router("a", "ext") == "new"
    assert cloud.create_group("a") == "new"
    assert cloud.create_port("a", "n", "s", ["g"]) == ("new", "10.20.0.9")
    assert cloud.create_floating("a", "ext", "p") == ("new", "172.29.0.9")
    assert len(network.calls) == 6
    assert {call[-1]["description"] for call in network.calls} == {MARK}


def test_a_subnet_has_the_name_servers_that_are_named_or_those_of_the_cloud(cloud, network):
    cloud.create_subnet("a", "n", "10.20.0.0/24")
    assert "dns_nameservers" not in network.calls[-1][-1]
    cloud.create_subnet("a", "n", "10.20.0.0/24", ("192.0.2.53", "192.0.2.54"))
    assert network.calls[-1][-1]["dns_nameservers"] == ["192.0.2.53", "192.0.2.54"]
    cloud.set_nameservers("s", ("192.0.2.54",))
    assert network.calls[-1] == ("update_subnet", "s", {"dns_nameservers": ["192.0.2.54"]})


@pytest.mark.parametrize(("extensions", "sent"), [([], {}), (["port-security"], {"is_port_security_enabled": True})])
def test_port_security_is_on_where_the_cloud_knows_it(cloud, network, extensions, sent):
    network.extensions = lambda: [SimpleNamespace(alias=alias) for alias in extensions]
    cloud.create_network("a")
    assert network.calls == [("create_network", {"name": "a", "description": MARK, **sent})]


def test_the_port_of_the_hubs_own_node_has_a_mark_of_its_own(cloud, network):
    cloud.create_port("a", "n", "s", ["g"], role="hub")
    ((_, sent),) = [(call[0], call[-1]) for call in network.calls]
    assert (sent["name"], sent["description"]) == ("a-hub", resources.hub_mark("a"))


def test_rules_are_opened_in_one_request(cloud, network):
    network.result = []
    cloud.add_rules("g", [Rule(7077, 7078, NODES), Rule(22, 22, "192.0.2.0/24")])
    ((name, data, _),) = network.calls
    assert name == "create_security_group_rules"
    peers = [(each["port_range_min"], each.get("remote_group_id"), each.get("remote_ip_prefix")) for each in data]
    assert peers == [(22, None, "192.0.2.0/24"), (7077, "g", None)]
    assert all(each["direction"] == "ingress" and each["protocol"] == "tcp" for each in data)


@pytest.mark.parametrize(
    ("names", "name", "count"),
    [
        (("a-master",), "a-master", {}),
        (("a-worker-1", "a-worker-2"), "a-worker", {"min_count": 2, "max_count": 2}),
    ],
)
def test_servers_are_created_one_by_one_or_all_at_once(cloud, compute, names, name, count):
    cloud.create_servers(
        "a", names, role="worker", image="i", flavor="f", network={"uuid": "n"}, groups=["a", "web"],
        user_data="#cloud-config", metadata={resources.META_SPEC: "s"},
    )  # fmt: skip
    ((_, sent),) = compute.calls
    assert sent["security_groups"] == [{"name": "a"}, {"name": "web"}]
    assert "scheduler_hints" not in sent
    assert sent["name"] == name
    assert {key: sent[key] for key in ("min_count", "max_count") if key in sent} == count
    assert gzip.decompress(base64.b64decode(sent["user_data"])) == b"#cloud-config"
    assert sent["metadata"] == {resources.META_CLUSTER: "a", resources.META_ROLE: "worker", resources.META_SPEC: "s"}
    assert sent["config_drive"] is True


@pytest.mark.parametrize(("network_of", "groups"), [({"uuid": "open"}, []), ({"port": "p"}, ["a"])])
def test_a_server_has_no_groups_without_port_security_or_on_a_port_that_has_them(cloud, compute, network_of, groups):
    cloud.create_servers(
        "a", ("a-worker-1",), role="worker", image="i", flavor="f", network=network_of, groups=groups,
        user_data="#cloud-config", metadata={}, server_group="sg",
    )  # fmt: skip
    ((_, sent),) = compute.calls
    assert "security_groups" not in sent
    assert sent["scheduler_hints"] == {"group": "sg"}


def test_the_ports_of_workers_are_made_in_one_request(cloud, network):
    network.result = [SimpleNamespace(name="a-worker-1", id="p1"), SimpleNamespace(name="a-worker-2", id="p2")]
    made = cloud.create_worker_ports("a", ("a-worker-1", "a-worker-2"), "n", "s", ["g"])
    assert made == {"a-worker-1": "p1", "a-worker-2": "p2"}
    ((name, data, _),) = network.calls
    assert name == "create_ports"
    assert {each["description"] for each in data} == {resources.worker_mark("a")}
    assert [each["name"] for each in data] == ["a-worker-1", "a-worker-2"]
    cloud.set_groups("p1", ["g", "web"])
    assert network.calls[-1] == ("update_port", "p1", {"security_groups": ["g", "web"]})


def test_a_server_group_has_the_clusters_name(cloud, compute):
    assert cloud.create_server_group("a", "anti-affinity") == "new"
    assert compute.calls == [("create_server_group", {"name": "provision-a", "policies": ["anti-affinity"]})]
    cloud.delete("server group", "new")
    assert compute.calls[-1] == ("delete_server_group", "new", {"ignore_missing": True})


@pytest.mark.parametrize(
    ("status", "method"),
    [
        ("SHUTOFF", "start_server"),
        ("PAUSED", "unpause_server"),
        ("SUSPENDED", "resume_server"),
        ("SHELVED_OFFLOADED", "unshelve_server"),
    ],
)
def test_a_server_is_started_from_the_state_it_is_in(cloud, compute, status, method):
    cloud.start_server("v", status)
    assert compute.calls == [(method, "v", {})]


def test_a_restart_asks_no_one_on_the_server(cloud, compute):
    cloud.restart_server("v")
    assert compute.calls == [("reboot_server", "v", "HARD", {})]


def test_tags_are_set_all_at_once(cloud, network):
    cloud.tag("security group", "g", "a")
    assert network.calls == [("put", "/security-groups/g/tags", {"json": {"tags": [*resources.tags("a")]}})]


def test_a_cloud_without_tags_has_none(cloud, network):
    network.result = SimpleNamespace(status_code=404)
    network.extensions = list
    cloud.tag("network", "n", "a")
    network.extensions = lambda: [SimpleNamespace(alias="standard-attr-tag")]


def test_what_is_gone_already_can_be_deleted(cloud, network, compute):
    cloud.delete("floating IP", "f")
    cloud.delete_rule("r")
    cloud.delete_server("v")
    cloud.delete_key("a")
    assert all(call[-1] == {"ignore_missing": True} for call in (*network.calls, *compute.calls))
    network.error = sdk.NotFoundException("gone")
    cloud.remove_interface("r", "p")


def test_a_server_that_the_cloud_would_keep_is_deleted_for_good(cloud, compute):
    cloud.force_delete_server("v")
    assert compute.calls == [("delete_server", "v", {"force": True})]
    compute.error = sdk.NotFoundException("gone")
    cloud.force_delete_server("v")
    compute.error = sdk.ForbiddenException("Policy doesn't allow os_compute_api:os-deferred-delete:force")
    with pytest.raises(ProvisionError, match="keeps deleted servers for a while, with their ports") as caught:
        cloud.force_delete_server("v")
    assert "`openstack server delete --force v`" in caught.value.hint


def test_what_is_in_use_is_busy(cloud, network):
    network.error = sdk.ConflictException("in use")
    with pytest.raises(BusyError, match="deleting the network: the cloud said: in use"):
        cloud.delete("network", "n")


def test_an_interface_is_marked_by_its_own_words(cloud, network):
    network.result = {"port_id": "leg"}
    assert cloud.add_interface("r", "s") == "leg"
    cloud.mark_interface("leg", "a")
    assert network.calls[-1] == ("update_port", "leg", {"description": resources.interface_mark("a")})
    assert resources.interface_mark("a") != MARK
