"""Containers as the doctor sees them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from docker.errors import NotFound

from provision.adapters.docker import inspect
from provision.adapters.docker.inspect import Inspector
from provision.adapters.docker.programs import Output
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


@pytest.fixture
def answering(monkeypatch):
    """Let programs in containers end as given; returns what was run."""
    asked = []

    def answer(code, out=b"", err=b""):
        def run(_api, container, argv):
            asked.append((container, argv))
            return Output(code, out, err)

        monkeypatch.setattr(inspect, "run_program", run)
        return asked

    return answer


def test_the_output_of_a_program(inspector, answering):
    asked = answering(0, b"fine\n")
    assert inspector.output_of(UNIT, ["df"], seconds=3) == "fine\n"
    assert asked == [(UNIT.known_as, ["timeout", "3", "df"])]


@pytest.mark.parametrize(
    ("code", "output", "reason"),
    [
        (1, (b"out", b"bad\nworse"), "bad"),
        (1, (b"out", b""), "out"),
        (2, (b"", b""), "code 2"),
        (124, (b"", b""), "no answer within 20 s"),
    ],
)
def test_a_program_that_fails(inspector, answering, code, output, reason):
    answering(code, *output)
    with pytest.raises(ProvisionError) as caught:
        inspector.output_of(UNIT, ["df"])
    assert caught.value.message == f"df in api-1: {reason}"


def test_a_container_that_is_gone(client, inspector):
    client.api.exec_create.side_effect = NotFound("gone")
    with pytest.raises(ProvisionError, match="api-1 is gone"):
        inspector.output_of(UNIT, ["df"])
