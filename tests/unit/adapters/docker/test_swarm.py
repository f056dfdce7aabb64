"""Docker Swarm through the library: hosts, tasks, images, networks and services."""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from types import SimpleNamespace

import pytest
from docker.errors import APIError, NotFound

from provision.adapters.docker import swarm as module
from provision.adapters.docker.swarm import Swarm
from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.settings import LABEL
from provision.model.localcloud.swarm import MEMBER_LABEL, Host, renewal_hint

LABELS = dict([LABEL.split("=")])


def node(id_, name, role="manager", address="192.0.2.1:2377", labels=None):
    return {
        "ID": id_,
        "Version": {"Index": 7},
        "Description": {"Hostname": name},
        "ManagerStatus": {"Addr": address},
        "Status": {"State": "ready", "Addr": "0.0.0.0"},
        "Spec": {"Role": role, "Availability": "active", "Labels": labels},
    }


def service(id_, name, **more):
    spec = {"Name": f"provision_{name}", "TaskTemplate": {"ContainerSpec": {"Image": f"{name}:1"}}}
    return {"ID": id_, "Spec": spec, "ServiceStatus": {"DesiredTasks": 2}, **more}


def task(id_, service_id, node_id="n1", state="running", desired="running"):
    return {
        "ID": id_,
        "ServiceID": service_id,
        "NodeID": node_id,
        "Slot": 1,
        "DesiredState": desired,
        "Status": {"State": state, "ContainerStatus": {"ContainerID": "c1"}, "Timestamp": "T"},
        "Spec": {"ContainerSpec": {"Image": "api:1", "Labels": LABELS}},
    }


@pytest.fixture(name="api")
def _api(client):
    client.api.nodes.return_value = [node("n1", "host-1"), node("n2", "host-2", labels={MEMBER_LABEL: "2"})]
    client.api.inspect_node.side_effect = lambda id_: next(
        each for each in client.api.nodes.return_value if each["ID"] == id_
    )
    return client.api


@pytest.fixture(name="swarm")
def _swarm(api):
    return Swarm("127.0.0.1:5001", "secret")


def test_hosts_with_their_members(swarm):
    first, second = swarm.hosts()
    assert first == Host("n1", "host-1", "192.0.2.1", ready=True, member=0)
    assert second.member == 2


def test_a_member_is_a_label_beside_others(api, swarm):
    api.nodes.return_value[0]["Spec"]["Labels"] = {"theirs": "x"}
    swarm.set_member("n1", 3)
    id_, version, spec = api.update_node.call_args.args
    assert (id_, version) == ("n1", 7)
    assert spec == {"Role": "manager", "Availability": "active", "Labels": {"theirs": "x", MEMBER_LABEL: "3"}}


def test_a_manager_is_demoted_before_it_leaves(client, api, swarm, monkeypatch):
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    # It is asked for its id, and then until it is no manager any more.
    manages = iter([True, True, False])
    client.info.side_effect = lambda: {
        "Swarm": {"NodeID": "n2", "LocalNodeState": "active", "ControlAvailable": next(manages)}
    }
    swarm.leave()
    assert api.update_node.call_args.args[2] == {"Role": "worker", "Availability": "active", "Labels": {}}
    client.swarm.leave.assert_called_once_with(force=False)


def test_the_last_manager_leaves_by_force(client, api, swarm):
    api.nodes.return_value = [node("n1", "host-1")]
    swarm.leave()
    api.update_node.assert_not_called()
    client.swarm.leave.assert_called_once_with(force=True)


def test_tasks_of_our_services_with_their_hosts(api, swarm):
    api.services.return_value = [service("s1", "api")]
    api.tasks.return_value = [task("t1", "s1"), task("t2", "somebody's"), task("t3", "s1", "", "pending", "shutdown")]
    first, second = swarm.tasks()
    assert (first.service, first.host, first.state, first.wanted, first.container) == (
        "api",
        "host-1",
        "running",
        True,
        "c1",
    )
    assert (second.host, second.wanted) == ("", False)


def test_a_host_that_is_no_manager_leaves_by_force(client, api, swarm):
    api.nodes.side_effect = APIError("This node is not a swarm manager")
    swarm.leave(force=True)
    assert client.swarm.leave.call_args.kwargs == {"force": True}


def test_a_lock_is_one_host_s_until_it_is_freed(client, api, swarm):
    client.info.return_value = {"Swarm": {"NodeID": "n1"}}
    assert swarm.take_lock() == "n1"
    name, data, labels = api.create_config.call_args.args
    assert (name, data) == ("provision_lock", b"n1")
    api.create_config.side_effect = APIError("exists", SimpleNamespace(status_code=409))
    assert swarm.take_lock() == ""
    api.configs.return_value = [{"ID": "c1", "Spec": {"Labels": {**labels, "provision.host": "n2"}}}]
    assert swarm.take_lock() == "n2"
    swarm.drop_lock("n1")
    api.remove_config.assert_not_called()
    api.remove_config.side_effect = NotFound("gone")
    swarm.drop_lock("n2")
    api.remove_config.assert_called_once_with("c1")
    api.create_config.side_effect = APIError("no leader")
    with pytest.raises(ProvisionError, match="Docker refused"):
        swarm.take_lock()


def test_hosts_on_which_removed_services_are_ending(api, swarm):
    api.services.return_value = [service("s1", "api")]
    api.tasks.return_value = [task("t1", "s1"), task("t2", "old", "n2"), task("t3", "old", "n1", "shutdown")]
    assert swarm.stopping_hosts() == "host-2"
    api.tasks.return_value = []
    assert swarm.stopping_hosts() == ""


def test_what_services_are_to_be(api, swarm):
    api.services.return_value = [service("s1", "api", UpdateStatus={"State": "paused"}), service("s2", "db")]
    assert swarm.desired_replicas() == {"api": 2, "db": 2}
    assert swarm.updates() == {"api": "paused"}
    assert (swarm.images(), swarm.jobs()) == ({"api:1", "db:1"}, set())


def test_one_shot_services_are_known_from_those_that_run_for_good(api, swarm):
    fetching, migrating = service("s2", "fetch-api"), service("s3", "nova-migrate")
    fetching["Spec"]["Mode"] = {"GlobalJob": {}}
    migrating["Spec"]["Mode"] = {"ReplicatedJob": {"MaxConcurrent": 1}}
    api.services.return_value = [service("s1", "api"), fetching, migrating]
    assert swarm.images() == {"api:1"}
    assert swarm.jobs() == {"fetch-api", "nova-migrate"}


def test_a_push_without_a_digest_for_programs_has_it_in_its_last_line(api, swarm):
    """As Docker 29 does, and every older one with the containerd image store."""
    digest = f"sha256:{'ab' * 32}"
    api.push.return_value = [
        {"status": "Preparing", "aux": None},
        {"status": f"1: digest: {digest} size: 1234"},
        {"aux": {"manifestPushedInsteadOfIndex": True}},
    ]
    assert swarm.push("provision/api:1") == f"127.0.0.1:5001/provision/api:1@{digest}"


def test_a_push_without_any_digest_is_an_error(api, swarm):
    api.push.return_value = [{"status": "Pushed"}]
    with pytest.raises(ProvisionError, match="does not say which image provision/api:1 is in the registry"):
        swarm.push("provision/api:1")


def test_an_image_is_pushed_and_known_by_its_digest(api, swarm):
    api.push.return_value = [{"status": "Pushing"}, {"aux": {"Digest": "sha256:ab"}}]
    assert swarm.push("provision/api:1") == "127.0.0.1:5001/provision/api:1@sha256:ab"
    assert api.push.call_args.kwargs["auth_config"]["password"] == "secret"
    api.push.return_value = [{"error": "denied"}]
    with pytest.raises(ProvisionError, match="could not be pushed"):
        swarm.push("provision/api:1")


@pytest.mark.parametrize(
    ("error", "pulled"),
    [
        (None, True),
        (NotFound("no"), False),
        (APIError("connection refused"), False),
        (APIError("manifest unknown"), False),
    ],
)
def test_an_image_is_pulled_if_it_is_there(api, swarm, error, pulled):
    api.pull.side_effect = error
    assert swarm.pull("provision/api:1") is pulled


def test_a_pull_that_fails_otherwise_is_an_error(api, swarm):
    api.pull.side_effect = APIError("unauthorized")
    with pytest.raises(ProvisionError, match="could not be pulled"):
        swarm.pull("provision/api:1")


def test_a_network_is_made_once_and_has_to_be_attachable(client, swarm):
    client.networks.list.return_value = [SimpleNamespace(name="other", attrs={})]
    swarm.ensure_network("net", IPv4Network("10.0.0.0/24"), 1450)
    assert client.networks.create.call_args.kwargs["attachable"] is True
    assert client.networks.create.call_args.kwargs["options"] == {"com.docker.network.driver.mtu": "1450"}
    client.networks.create.reset_mock()
    client.networks.list.return_value = [SimpleNamespace(name="net", attrs={"Attachable": True})]
    swarm.ensure_network("net", IPv4Network("10.0.0.0/24"), 1450)
    client.networks.create.assert_not_called()
    client.networks.list.return_value = [SimpleNamespace(name="net", attrs={})]
    with pytest.raises(UsageError, match="older version") as caught:
        swarm.ensure_network("net", IPv4Network("10.0.0.0/24"), 1450)
    assert caught.value.hint == renewal_hint()


@pytest.mark.parametrize(
    ("attributes", "mtu"),
    [({"Options": {"com.docker.network.driver.mtu": "1450"}}, 1400), ({"Options": None}, 1450), ({}, 1450)],
)
def test_a_network_has_what_vxlan_leaves_of_the_one_below_it(client, swarm, attributes, mtu):
    client.networks.list.return_value = [SimpleNamespace(name="net", attrs=attributes)]
    assert swarm.network_mtu("net") == mtu
    assert swarm.network_mtu("other") == 0


def test_a_network_in_use_stays_and_is_said(client, swarm):
    def busy():
        raise APIError("network has active endpoints")

    client.networks.list.side_effect = lambda names: [SimpleNamespace(name=names[0], remove=busy)]
    assert "active endpoints" in swarm.remove_networks()
    client.networks.list.side_effect = lambda names: []
    assert swarm.remove_networks() == ""


def test_secrets_in_use_stay(client, swarm):
    def refuse(text):
        def remove():
            removed.append(text)
            raise APIError(text)

        return remove

    removed = []
    client.secrets.list.return_value = [
        SimpleNamespace(name="kept", remove=refuse("not this one")),
        SimpleNamespace(name="old", remove=refuse("in use by service")),
    ]
    swarm.drop_secrets({"kept"})
    assert removed == ["in use by service"]


def test_services_that_are_gone_already_are_no_error(api, swarm):
    api.remove_service.side_effect = NotFound("gone")
    swarm.remove(["api", "db"])
    assert [call.args for call in api.remove_service.call_args_list] == [("provision_api",), ("provision_db",)]


def test_a_stack_file_is_deployed_with_the_registrys_account(program, swarm, tmp_path):
    program.write(f"cp $2/config.json $2/stack.json {tmp_path}")
    document = {"services": {"api": {"image": "api:1"}}}
    swarm.deploy(document)
    assert json.loads((tmp_path / "stack.json").read_text()) == document
    assert "127.0.0.1:5001" in json.loads((tmp_path / "config.json").read_text())["auths"]
    (call,) = program.calls()
    assert call.endswith("stack.json provision")
    program.write("echo 'no such network' >&2; exit 1")
    with pytest.raises(ProvisionError, match="deploying api failed"):
        swarm.deploy(document)


def test_the_registry_answers_or_not(api, http_server):
    assert Swarm(http_server.url.removeprefix("http://")).registry_answers()
    http_server.status = 401
    assert not Swarm(http_server.url.removeprefix("http://")).registry_answers()
    assert not Swarm("127.0.0.1:1").registry_answers()


def test_where_this_host_reaches_its_own_container(api, swarm):
    api.containers.return_value = [{"Id": "c1"}]
    api.inspect_network.return_value = {"Containers": {"c1": {"IPv4Address": "172.18.0.3/16"}}}
    assert (swarm.container("consul"), swarm.address("consul")) == ("c1", "172.18.0.3")
    api.containers.return_value = []
    assert (swarm.container("consul"), swarm.address("consul")) == ("", "")
