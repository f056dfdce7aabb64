"""The Docker engine through its library: images, containers, networks, and the removal of everything of ours."""

from __future__ import annotations

import io
import tarfile
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import requests
from docker.errors import APIError, ImageNotFound, NotFound

from provision.adapters.docker import engine as module
from provision.adapters.docker.engine import Engine
from provision.adapters.docker.programs import Output
from provision.adapters.host.process import Result
from provision.base.errors import ProvisionError


def conflict(text="in use"):
    response = requests.Response()
    response.status_code = 409
    return APIError(text, response=response)


@pytest.fixture(name="engine")
def _engine(client):
    return Engine()


@pytest.mark.parametrize(
    ("version", "limits"),
    [("20.10.24+dfsg1", False), ("23.0.0", True), ("26.1.5+dfsg1", True), ("", False), ("dev", False)],
)
def test_an_engine_of_today_gives_only_what_its_host_has(monkeypatch, version, limits):
    monkeypatch.setattr(module, "run", lambda argv, timeout: Result(tuple(argv), 0, f"{version}\n", ""))
    assert module.limits_capabilities() == limits


def test_paths_of_this_machine(tmp_path):
    assert module.path_exists(str(tmp_path))
    assert not module.path_exists(str(tmp_path / "no"))


def test_an_image_is_built_from_files_in_memory(client, engine):
    client.api.build.return_value = [{"stream": "Step 1\n\nStep 2\n"}, {"status": "done"}]
    lines = []
    context = {"Dockerfile": b"FROM x", "files/entrypoint": b"#!/bin/sh"}
    engine.build("i:1", context, arguments={"A": "1"}, labels={"l": "1"}, line=lines.append)
    assert lines == ["Step 1", "Step 2"]
    sent = client.api.build.call_args.kwargs["fileobj"].getvalue()
    with tarfile.open(fileobj=io.BytesIO(sent)) as tar:
        assert {info.name: info.mode for info in tar} == {"Dockerfile": 0o644, "files/entrypoint": 0o755}


def test_a_failed_build_says_its_last_lines(client, engine):
    client.api.build.return_value = [{"stream": "Step 1"}, {"error": "exit code 100"}]
    with pytest.raises(ProvisionError, match="i:1 could not be built") as caught:
        engine.build("i:1", {}, arguments={}, labels={}, line=lambda text: None)
    assert caught.value.detail == "Step 1\nexit code 100"


def test_the_base_image_is_pulled_or_made(client, engine, monkeypatch):
    calls = []
    monkeypatch.setattr(
        module, "run", lambda argv, timeout, env: calls.append((argv, env)) or Result(tuple(argv), 0, "", "")
    )
    engine.ensure_base_image(lambda text: None)
    client.api.pull.assert_called_once_with("debian", tag="trixie-slim")
    client.api.pull.side_effect = requests.ConnectionError("no registry")
    engine.ensure_base_image(lambda text: None, "http://mirror", {"http_proxy": "http://proxy:3128"})
    ((argv, environment),) = calls
    assert (argv[-1], environment["http_proxy"]) == ("http://mirror", "http://proxy:3128")
    client.api.import_image_from_file.assert_called_once()
    monkeypatch.setattr(module, "run", lambda argv, timeout, env: Result(tuple(argv), 127, "", "mmdebstrap: no"))
    with pytest.raises(ProvisionError, match="neither be pulled nor made"):
        engine.ensure_base_image(lambda text: None)
    client.api.images.return_value = [{"RepoTags": ["debian:trixie-slim"]}]
    engine.ensure_base_image(lambda text: None)


def test_the_state_of_containers(client, container, engine):
    labels = {"com.docker.compose.project": "p", "com.docker.compose.service": "api", "SERVICE_80_NAME": "api"}
    labels |= {"com.docker.compose.container-number": "2", "com.docker.compose.config-hash": "h"}
    client.containers.list.return_value = [container("p-api-2", labels=labels)]
    (state,) = engine.states("p")
    assert (state.service, state.container, state.state, state.number) == ("api", "p-api-2", "running", 2)
    assert (state.definition, state.configuration, state.registers) == ("h", "c1", True)
    assert client.containers.list.call_args.kwargs["filters"] == {"label": ["com.docker.compose.project=p"]}
    client.containers.get.side_effect = NotFound("gone")
    assert engine.state("p-api-2") is None
    assert engine.container_id("p-api-2") == ""


def test_a_container_is_stopped_and_removed_and_may_be_gone_at_any_step(client, engine):
    found = client.containers.get.return_value
    found.stop.side_effect = NotFound("gone")
    engine.stop_and_remove("c", timeout=3)
    found.stop.assert_called_once_with(timeout=3)
    found.remove.assert_called_once_with(force=True, v=True)
    client.containers.get.side_effect = NotFound("gone")
    engine.stop_and_remove("c")


def test_a_leftover_run_is_waited_for(client, engine):
    left = client.containers.get.return_value
    engine.wait_and_remove("c", 5)
    left.wait.assert_called_once_with(timeout=5)
    left.remove.side_effect = conflict("removal already in progress")
    engine.wait_and_remove("c", 5)
    left.wait.side_effect = requests.Timeout("late")
    with pytest.raises(ProvisionError, match="of an earlier run does not end"):
        engine.wait_and_remove("c", 5)
    client.containers.get.side_effect = NotFound("gone")
    engine.wait_and_remove("c", 5)


def test_a_program_in_a_container(client, engine, monkeypatch):
    monkeypatch.setattr(module, "run_program", lambda _api, *_asked: Output(0, b"out", b"err"))
    assert engine.execute("c", ["true"]) == (0, "outerr")
    monkeypatch.undo()
    client.api.exec_create.side_effect = conflict("not running")
    assert engine.execute("c", ["true"])[0] == 1


def test_images_of_other_families_and_current_ones_stay(client, engine):
    def image(family, inputs):
        return {
            "Id": f"{family}-{inputs}",
            "Labels": {"provision.family": family, "provision.inputs": inputs},
        }

    client.api.images.return_value = [
        image("nova", "old"),
        image("nova", "new"),
        image("glance", "old"),
        # A build that another command is at has come this far: the labels are its parent's.
        image("base", "new"),
        image("base", "old"),
    ]
    client.api.remove_image.side_effect = conflict()
    engine.drop_superseded({"nova": "new", "base": "new"})
    assert [call.args[0] for call in client.api.remove_image.call_args_list] == ["nova-old", "base-old"]


def test_an_image_that_docker_fails_to_remove_fails_no_command(client, engine):
    labels = {"provision.family": "nova", "provision.inputs": "old"}
    client.api.images.return_value = [{"Id": each, "Labels": labels} for each in ("busy", "free")]
    client.api.remove_image.side_effect = [APIError("device or resource busy"), None]
    engine.drop_superseded({"nova": "new"})
    assert client.api.remove_image.call_count == 2


def test_everything_of_ours_is_removed_and_what_stays_is_said(client, engine, monkeypatch):
    networks = [MagicMock(attrs={"Scope": scope}) for scope in ("swarm", "local", "local")]
    networks[2].name = "miscounted"
    client.networks.list.return_value = networks
    client.containers.list.return_value = [MagicMock()]
    client.volumes.list.return_value = [MagicMock()]
    client.images.list.return_value = [
        SimpleNamespace(id="base", tags=["base:1"], attrs={"Created": "1"}),
        SimpleNamespace(id="child", tags=["child:1"], attrs={"Created": "2"}),
        SimpleNamespace(id="gone", tags=[], attrs={"Created": "0"}),
    ]
    client.api.remove_image.side_effect = [None, conflict(), ImageNotFound("gone")]
    monkeypatch.setattr(module, "remove_network", lambda network: network is not networks[2])
    lines = []
    engine.purge(lines.append)
    networks[0].remove.assert_not_called()
    assert [call.args[0] for call in client.api.remove_image.call_args_list] == ["child", "base", "gone"]
    assert lines == [
        "the network miscounted stays until Docker restarts: it counts containers that are gone",
        "3 images",
        "base:1 stays: something that is not ours still uses it",
    ]
