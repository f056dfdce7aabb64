"""The status of a control plane on several hosts, for a person and for a program."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from provision.model.localcloud.settings import Settings
from provision.model.localcloud.swarm_status import Hypervisor, SwarmLine
from provision.operations.localcloud.swarm import status
from provision.operations.localcloud.swarm.status import SwarmStatus

from .hosts_world import FakeSwarm, host


def line(service, running, wanted=1, **more):
    return SwarmLine(service, wanted, running, None, ("sha256:ab",), "", ("host-1",), **more)


def test_a_status_is_up_when_hosts_replicas_and_apis_all_are():
    up = SwarmStatus((host(1, 1),), (line("keystone", 1),), {"keystone": ""})
    assert up.up
    assert "Everything is up." in up.text()
    away = replace(host(2, 2), ready=False)
    for less in (
        replace(up, hosts=(host(1, 1), away)),
        replace(up, services=(line("keystone", 1), line("glance", 0, problem="no suitable node"))),
        replace(up, apis={"keystone": "no connection"}),
        replace(up, apis={}),
    ):
        assert not less.up
        assert not less.document()["up"]
        assert "Everything is up." not in less.text()
    hypervisors = (Hypervisor("host-1", ()), Hypervisor("host-2", ("its nova-compute is reported down",)))
    assert replace(up, hypervisors=hypervisors[:1]).up
    less = replace(up, hypervisors=hypervisors)
    assert not less.up
    assert "hypervisor host-2  its nova-compute is reported down" in less.text()
    assert [each["up"] for each in less.document()["hypervisors"]] == [True, False]
    assert "host-2  192.0.2.2  away  member 2" in replace(up, hosts=(away,)).text()
    assert "glance: no suitable node" in replace(up, services=(line("glance", 0, problem="no suitable node"),)).text()


@pytest.mark.parametrize(("services", "apis"), [((), set()), (("keystone",), {"keystone"})])
def test_apis_are_asked_when_there_is_a_control_plane(monkeypatch, tmp_path, services, apis):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    swarm = FakeSwarm(host(1, 1))
    monkeypatch.setattr(swarm, "tasks", lambda: (), raising=False)
    monkeypatch.setattr(status, "require_swarm", lambda: Settings(ha=True, swarm=True))
    monkeypatch.setattr(status, "swarm_adapter", lambda settings: swarm)
    monkeypatch.setattr(status, "read_lines", lambda *_: tuple(line(name, 1) for name in services))
    monkeypatch.setattr(status, "Admin", lambda login: SimpleNamespace(answers=lambda url: "no connection"))
    found = status.status()
    assert apis <= set(found.apis)
    assert bool(found.apis) == bool(services)
    # Nova is not asked while an API does not answer.
    assert found.hypervisors == ()
    assert not found.up
