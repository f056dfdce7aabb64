"""Logs of this machine's containers."""

from __future__ import annotations

import pytest
from docker.errors import APIError, NotFound

from provision.adapters.docker.logs import Logs
from provision.base.errors import ProvisionError
from provision.model.localcloud.logs import LogSource

API = LogSource("c1", "api", "api-1")


@pytest.fixture(name="docker_api")
def _docker_api(client):
    return client.api


def listed(id_, service, names, state="running"):
    return {"Id": id_, "Labels": {"com.docker.compose.service": service}, "Names": names, "State": state}


def test_sources_have_short_names_and_ended_ones_are_among_them(docker_api):
    docker_api.containers.return_value = [
        listed("c1", "api", ["/provision-api-1"]),
        listed("c2", "db", ["/provision-db-1"], "exited"),
        listed("c3", "db", None),  # it is being removed
    ]
    assert Logs().sources() == [API, LogSource("c2", "db", "db-1", running=False)]
    assert docker_api.containers.call_args.kwargs["all"] is True


def test_a_log_is_read_as_docker_sends_it(docker_api):
    docker_api.logs.return_value = iter([b"T1 one\n", b"T2 two\n"])
    assert list(Logs().frames(API, since=12.5)) == [b"T1 one\n", b"T2 two\n"]
    docker_api.logs.assert_called_once_with("c1", stream=True, timestamps=True, follow=False, since=12.5, tail="all")


def test_a_container_that_is_gone_has_no_log_and_a_failure_is_said(docker_api):
    docker_api.logs.side_effect = NotFound("gone")
    assert list(Logs().frames(API, tail=3)) == []
    docker_api.logs.side_effect = APIError("no")
    with pytest.raises(ProvisionError, match="Docker refused"):
        list(Logs().frames(API))
