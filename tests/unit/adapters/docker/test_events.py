"""Docker's containers and events, as the Registrator reads them."""

from __future__ import annotations

from unittest.mock import MagicMock

import docker
import pytest
import requests
from docker.errors import DockerException, NotFound

from provision.adapters.docker.events import DockerEvents, DockerUnavailableError


@pytest.fixture(name="api")
def _api(monkeypatch, container):
    made = MagicMock()
    made.inspect_container.side_effect = lambda id_: container(id_.removeprefix("id-of-")).attrs
    monkeypatch.setattr(docker, "APIClient", lambda **_: made)
    return made


@pytest.fixture(name="engine")
def _engine(api):
    return DockerEvents("tcp://127.0.0.1:1")


def listed(name, status="Up 5 minutes", **more):
    return {"Id": f"id-of-{name}", "State": "running", "Status": status, "Names": [f"/{name}"], **more}


def test_only_what_has_changed_is_inspected_again(api, engine):
    api.containers.return_value = [listed("a"), listed("b")]
    assert {each.name for each in engine.containers()} == {"a", "b"}
    api.containers.return_value = [listed("a", "Up 6 minutes"), listed("b", "Up 6 minutes (healthy)")]
    engine.containers()
    assert [call.args[0] for call in api.inspect_container.call_args_list] == ["id-of-a", "id-of-b", "id-of-b"]
    engine.forget("id-of-a")
    engine.containers()
    assert api.inspect_container.call_args.args[0] == "id-of-a"
    api.containers.return_value = [listed("b", "Up 7 minutes (healthy)")]
    assert {each.name for each in engine.containers()} == {"b"}


def test_a_container_that_ends_meanwhile_is_left_out(api, engine):
    api.containers.return_value = [listed("a")]
    api.inspect_container.side_effect = NotFound("gone")
    assert engine.containers() == ()


def test_events_name_containers_after_the_subscription(api, engine):
    api.events.return_value = iter(
        [
            {"Type": "container", "Actor": {"ID": "c1"}},
            {"Type": "network", "Actor": {"ID": "n1", "Attributes": {"container": "c2"}}},
            {"Type": "network", "Actor": None},
        ]
    )
    stream = engine.events()
    assert [next(stream) for _ in range(4)] == ["", "c1", "c2", ""]
    with pytest.raises(DockerUnavailableError, match="ended its stream"):
        next(stream)


@pytest.mark.parametrize(
    "error", [DockerException("no"), requests.ConnectionError("no"), OSError("no"), ValueError("no")]
)
def test_an_engine_that_is_away(api, engine, error):
    api.info.side_effect = error
    with pytest.raises(DockerUnavailableError, match="Docker does not answer: no"):
        engine.name()


def test_the_hosts_name(api, engine):
    api.info.return_value = {"Name": "host-1"}
    assert engine.name() == "host-1"
