"""One server: its status where no list shows it, and its console."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from openstack import exceptions as sdk

from provision.adapters.openstack import session
from provision.adapters.openstack.cloud import Cloud


@pytest.fixture
def cloud():
    return Cloud("test", SimpleNamespace(compute=SimpleNamespace(), current_project_id="p"))


def test_the_status_of_a_server_that_no_list_shows(cloud):
    compute = cloud.connection.compute
    compute.get_server = lambda server: SimpleNamespace(status="SOFT_DELETED")
    assert cloud.server_status("v") == "SOFT_DELETED"

    def gone(server):
        raise sdk.NotFoundException("no")

    compute.get_server = gone
    assert cloud.server_status("v") == ""


def test_a_console_is_empty_until_there_is_one(cloud):
    compute = cloud.connection.compute
    compute.get_server_console_output = lambda server: {"output": "booting"}
    assert cloud.console("v") == "booting"

    def none_yet(server):
        raise sdk.ConflictException("not ready")

    compute.get_server_console_output = none_yet
    assert cloud.console("v") == ""


def test_a_console_that_fails_hides_nothing_and_is_not_waited_for(cloud, monkeypatch):
    slept = []
    monkeypatch.setattr(session.time, "sleep", slept.append)
    compute = cloud.connection.compute
    compute.get_server_console_output = lambda server: {"output": "booting"}
    assert cloud.console_if_readable("v") == "booting"

    def fail(server):
        raise sdk.HttpException("no hypervisor", http_status=503)

    compute.get_server_console_output = fail
    assert cloud.console_if_readable("v") == ""
    assert slept == []
