"""Containers as the doctor sees them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from docker.errors import NotFound

from provision.adapters.docker.inspect import Inspector
from provision.base.errors import ProvisionError
from provision.model.localcloud.doctor.observed import Unit

UNIT = Unit("api", "api-1", "provision", "running")


@pytest.fixture(name="inspector")
def _inspector(client):
    return Inspector()


def test_units_have_short_names(client, container, inspector):
    client.containers.list.return_value = [container("provision-web-1"), container("provision-api-1", state="exited")]
    assert [(unit.name, unit.state) for unit in inspector.units()] == [("api-1", "exited"), ("web-1", "running")]


def test_replicas_of_a_swarms_services(client, container, inspector):
    labels = {"com.docker.swarm.service.name": "provision_api"}
    client.containers.list.return_value = [container("provision_api.1.x", labels=labels)]
    (unit,) = inspector.replicas()
    assert (unit.service, unit.project, unit.container) == ("api", "provision", "id-of-provision_api.1.x")
    assert client.containers.list.call_args.kwargs["all"] is False


def test_running_containers_as_the_registrator_sees_them(client, container, inspector):
    client.containers.list.return_value = [container("anybodys")]
    assert [each.name for each in inspector.running_containers()] == ["anybodys"]


def test_the_engines_clock(client, inspector):
    ahead = datetime.fromtimestamp(time.time() + 60, UTC).isoformat()
    client.info.return_value = {"Name": "h", "SystemTime": ahead}
    clock = inspector.clock()
    assert clock.whose == "Docker's host h"
    assert 59.5 <= clock.ahead <= 60.5


def answering(client, code, out=None, err=None):
    done = SimpleNamespace(exit_code=code, output=(out, err))
    client.containers.get.return_value.exec_run.return_value = done


def test_the_output_of_a_program(client, inspector):
    answering(client, 0, b"fine\n")
    assert inspector.output_of(UNIT, ["df"], seconds=3) == "fine\n"
    client.containers.get.return_value.exec_run.assert_called_once_with(["timeout", "3", "df"], demux=True)


@pytest.mark.parametrize(
    ("code", "output", "reason"),
    [
        (1, (b"out", b"bad\nworse"), "bad"),
        (1, (b"out", None), "out"),
        (2, (None, None), "code 2"),
        (124, (None, b""), "no answer within 20 s"),
    ],
)
def test_a_program_that_fails(client, inspector, code, output, reason):
    answering(client, code, *output)
    with pytest.raises(ProvisionError) as caught:
        inspector.output_of(UNIT, ["df"])
    assert caught.value.message == f"df in api-1: {reason}"


def test_a_container_that_is_gone(client, inspector):
    client.containers.get.side_effect = NotFound("gone")
    with pytest.raises(ProvisionError, match="api-1 is gone"):
        inspector.output_of(UNIT, ["df"])
