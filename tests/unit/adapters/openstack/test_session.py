"""The SDK's errors become ours, in words that a user understands."""

from __future__ import annotations

import pytest
import requests
from keystoneauth1 import exceptions as keystone
from openstack import exceptions as sdk

from provision.adapters.openstack.session import BusyError, Session, TransientError
from provision.base.errors import ProvisionError

BAD_GATEWAY = requests.Response()
BAD_GATEWAY.status_code = 502
ERRORS = {
    "in use": (sdk.ConflictException("in use"), BusyError, "in use"),
    "login": (keystone.Unauthorized("no"), ProvisionError, "refused the login"),
    "unreachable": (keystone.ConnectFailure("no route"), TransientError, "cannot be reached"),
    "failed": (sdk.HttpException("Bad gateway", BAD_GATEWAY), TransientError, "Bad gateway"),
    "refused": (sdk.HttpException(message="Quota exceeded"), ProvisionError, "Quota exceeded"),
    "a catalogue without the service": (keystone.EndpointNotFound("none"), ProvisionError, "none"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    error, kind, words = ERRORS[case]
    with pytest.raises(kind, match=words) as caught, Session("test", None).asking("doing it"):
        raise error
    assert caught.value.message.startswith("doing it: ")


def test_the_hint_for_the_local_cloud_names_its_commands():
    with pytest.raises(TransientError) as caught, Session("local", None).asking("doing it"):
        raise keystone.ConnectFailure("no route")
    assert "provision cloud up" in caught.value.hint
