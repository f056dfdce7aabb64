"""The SDK's errors become ours, in words that a user understands."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import requests
from keystoneauth1 import exceptions as keystone
from openstack import exceptions as sdk

from provision.adapters.openstack import session
from provision.adapters.openstack.session import BusyError, Session, TransientError, UnreachableError, repeat
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


def answer(status, **headers):
    response = requests.Response()
    response.status_code = status
    response.headers.update(headers)
    return response


@pytest.mark.parametrize(
    ("status", "headers", "pause"),
    [
        (408, {}, 3),
        (429, {}, 3),
        (429, {"Retry-After": "7"}, 7),
        (429, {"Retry-After": "3600"}, 60),
        (429, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0),
        (429, {"Retry-After": "soon"}, 3),
        (413, {"Retry-After": "5"}, 5),
        (413, {}, None),
        (400, {}, None),
        (503, {"Retry-After": "2"}, 2),
    ],
)
def test_what_passes_is_told_from_what_does_not(status, headers, pause):
    with pytest.raises(ProvisionError) as caught, Session("test", None).asking("doing it"):
        raise sdk.HttpException("no", answer(status, **headers))
    assert getattr(caught.value, "pause", None) == pause


@pytest.mark.parametrize(
    "error",
    [
        keystone.ConnectTimeout("late"),
        keystone.UnknownConnectionError("cut", requests.exceptions.ChunkedEncodingError()),
        requests.exceptions.JSONDecodeError("a page", "<html>", 0),
    ],
)
def test_a_time_out_a_reset_and_half_an_answer_pass(error):
    with pytest.raises(TransientError) as caught, Session("test", None).asking("doing it"):
        raise error
    assert not isinstance(caught.value, UnreachableError)


def test_a_file_that_is_gone_is_no_traceback():
    with pytest.raises(ProvisionError, match="no such bundle"), Session("test", None).asking("doing it"):
        raise OSError("no such bundle")


def test_a_request_is_repeated_after_the_pause_that_the_cloud_asks_for(monkeypatch):
    slept, failures = [], [TransientError("busy"), UnreachableError("away")]
    failures[0].pause = 7
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=time.monotonic, sleep=slept.append))

    def request():
        if failures:
            raise failures.pop(0)
        return "done"

    assert repeat(request) == "done"
    assert slept == [7, 3]
    failures.append(UnreachableError("away"))
    with pytest.raises(UnreachableError):
        repeat(request, unreachable=False)


def test_no_proxy_is_asked():
    connection = SimpleNamespace(session=SimpleNamespace(session=requests.Session()))
    session.use_no_proxy(connection)
    assert not connection.session.session.trust_env


def test_a_ports_ipv4_address_whatever_comes_first():
    six, four = {"ip_address": "fd00::5"}, {"ip_address": "10.20.0.5"}
    assert session.first_ipv4([six, four]) == session.first_ipv4([four, six]) == "10.20.0.5"
    assert not session.first_ipv4([six])
