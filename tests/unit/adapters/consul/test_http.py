"""Consul's failures, told apart: not available for now (worth another try), or refused."""

from __future__ import annotations

import pytest

from provision.adapters.consul.http import ConsulClient, ConsulRefusedError, ConsulUnavailableError


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((500, b"No cluster leader"), ConsulUnavailableError),
        ((503, b"try later"), ConsulUnavailableError),
        # Our token is not there yet: `cloud up` makes it.
        ((403, b"ACL not found"), ConsulUnavailableError),
        ((500, b"The ACL system is currently in legacy mode."), ConsulUnavailableError),
        ((400, b"Invalid check: TCP or HTTP"), ConsulRefusedError),
        ((403, b"Permission denied"), ConsulRefusedError),
        ((404, b"no such key"), ConsulRefusedError),
        ((500, b'CheckID "service:x" does not have associated TTL'), ConsulRefusedError),
    ],
)
def test_failures(http_server, answer, error):
    http_server.status, http_server.body = answer
    with pytest.raises(error, match=answer[1].decode()[:20]) as caught:
        ConsulClient(http_server.url).request("PUT", "/v1/x?secret=1", {"ID": "x"})
    if error is ConsulRefusedError:
        assert caught.value.message.startswith("Consul refuses PUT /v1/x: ")
        assert (caught.value.detail, caught.value.status) == (answer[1].decode(), answer[0])


def test_nobody_there():
    with pytest.raises(ConsulUnavailableError, match="does not answer"):
        ConsulClient("http://127.0.0.1:1").request("GET", "/v1/x")


def test_what_is_missing_can_be_an_answer(http_server):
    http_server.status = 404
    assert ConsulClient(http_server.url).request("GET", "/v1/x", missing_ok=True).status_code == 404


def test_the_token_goes_along_and_no_proxy_is_asked(http_server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    ConsulClient(f"{http_server.url}/", "t").request("GET", "/v1/x")
    ConsulClient(http_server.url).request("PUT", "/v1/x", text="plain")
    (_, path, _, first), (_, _, body, second) = http_server.requests
    assert (path, first["X-Consul-Token"], body) == ("/v1/x", "t", b"plain")
    assert "X-Consul-Token" not in second
