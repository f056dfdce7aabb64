"""The connection to Docker, and the words for an engine that fails."""

from __future__ import annotations

from unittest.mock import MagicMock

import docker
import pytest
import requests
from docker.errors import APIError, DockerException, NotFound
from urllib3.exceptions import ProtocolError

from provision.adapters.docker import client as module
from provision.adapters.docker.client import (
    connect,
    engine_errors,
    host_name,
    ignore_missing,
    long_running,
    remove_network,
)
from provision.base.errors import ProvisionError


@pytest.mark.parametrize(
    ("problem", "hint"),
    [("Permission denied", "group `docker`"), ("No such file or directory", "systemctl start docker")],
)
def test_no_engine_is_a_failure_with_a_hint(monkeypatch, problem, hint):
    def refuse(timeout):
        raise DockerException(problem)

    monkeypatch.setattr(docker, "from_env", refuse)
    with pytest.raises(ProvisionError, match="Docker does not answer") as caught:
        connect(5)
    assert hint in caught.value.hint
    # Another user's cloud would take the place of this user's.
    assert "with sudo" not in caught.value.hint
    assert caught.value.detail == problem
    assert caught.value.exit_code == 1


def test_an_engine_has_to_answer_a_ping(client):
    assert connect(5) is client
    client.ping.side_effect = requests.ConnectionError("gone")
    with pytest.raises(ProvisionError):
        connect(5)


@pytest.mark.parametrize("error", [APIError("no"), requests.Timeout("late"), ProtocolError("broken")])
def test_whatever_goes_wrong_is_an_error_of_ours(error):
    with pytest.raises(ProvisionError, match="Docker refused or broke off") as caught, engine_errors():
        raise error
    assert "journalctl" in caught.value.hint


def test_addresses_in_use_have_a_hint_of_their_own():
    with pytest.raises(ProvisionError) as caught, engine_errors():
        raise APIError("Pool overlaps with other one on this address space")
    assert "docker network ls" in caught.value.hint


def test_the_hosts_name(client):
    client.info.return_value = {"Name": "host-1"}
    assert host_name(client) == "host-1"


def test_one_shot_runs_are_left_out(client, container):
    once = container("migrate", labels={"com.docker.compose.oneoff": "True"})
    client.containers.list.return_value = [container("api"), once]
    assert [each.name for each in long_running(client, ["a=b"], stopped=False)] == ["api"]
    client.containers.list.assert_called_once_with(all=False, filters={"label": ["a=b"]}, ignore_removed=True)


def test_what_is_gone_already_is_no_error():
    def gone():
        raise NotFound("gone")

    def refused():
        raise APIError("in use")

    ignore_missing(gone)
    with pytest.raises(APIError):
        ignore_missing(refused)


def active():
    return APIError("error while removing network: network x id y has active endpoints")


def test_what_is_connected_to_a_network_goes_with_it(monkeypatch):
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    network = MagicMock(attrs={"Containers": {"c1": {}, "c2": {}}})
    network.remove.side_effect = [active(), None]
    network.disconnect.side_effect = [NotFound("gone"), None]
    assert remove_network(network)
    assert [call.args for call in network.disconnect.call_args_list] == [("c1",), ("c2",)]


def test_a_network_whose_containers_docker_has_miscounted_stays():
    network = MagicMock(attrs={"Containers": None})
    network.remove.side_effect = active()
    assert not remove_network(network, timeout=0)
    network.remove.side_effect = NotFound("gone")
    assert remove_network(network)
    network.remove.side_effect = APIError("no")
    with pytest.raises(APIError):
        remove_network(network)
