"""A container, read from Docker's inspect document."""

from __future__ import annotations

import pytest

from provision.model.registrator.container import Binding, Container, ContainerNetwork, ContainerPort, parse_container

INSPECT = {
    "Id": "c" * 64,
    "Name": "/web",
    "Created": "2026-01-01T00:00:00Z",
    "Config": {
        "Image": "web",
        "Env": ["PATH=/bin", "SERVICE_NAME=a=b", "SERVICE_EMPTY="],
        "Labels": {"SERVICE_TAGS": "t", "com.docker.compose.project": "shop"},
        "ExposedPorts": {"53/udp": {}},
    },
    "State": {"Running": True, "Paused": False, "Restarting": False},
    "HostConfig": {"NetworkMode": "shop_mesh"},
    "NetworkSettings": {
        "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "443/tcp": None},
        "Networks": {"shop_mesh": {"NetworkID": "n1", "IPAddress": "10.0.0.5", "GlobalIPv6Address": ""}},
    },
}


def test_parse():
    assert parse_container(INSPECT) == Container(
        id="c" * 64,
        name="web",
        image="web",
        created="2026-01-01T00:00:00Z",
        serving=True,
        env=(("SERVICE_NAME", "a=b"), ("SERVICE_EMPTY", "")),
        labels=(("SERVICE_TAGS", "t"),),
        marks=frozenset({"com.docker.compose.project=shop"}),
        project="shop",
        network_mode="shop_mesh",
        networks=(ContainerNetwork("shop_mesh", "n1", "10.0.0.5"),),
        exposed=(ContainerPort(53, "udp"), ContainerPort(80), ContainerPort(443)),
        bindings=(Binding(ContainerPort(80), "0.0.0.0", 8080),),
    )


@pytest.mark.parametrize(
    ("state", "serving", "health"),
    [
        ({"Running": True, "Paused": True}, False, ""),
        ({"Running": True, "Restarting": True}, False, ""),
        ({"Running": False}, False, ""),
        ({"Running": True, "Health": {"Status": "none"}}, True, ""),
        ({"Running": True, "Health": {"Status": "healthy", "Log": [{"Output": "ok"}]}}, True, "healthy"),
    ],
)
def test_parse_state(state, serving, health):
    found = parse_container(INSPECT | {"State": state})
    assert (found.serving, found.health) == (serving, health)


def test_parse_a_bare_container():
    bare = INSPECT | {
        "Config": {"Image": "x", "Env": None, "Labels": None},
        "NetworkSettings": {"Ports": None, "Networks": None},
    }
    assert parse_container(bare).exposed == ()


def test_parse_a_range_of_ports_and_what_is_no_port():
    """One image with an unusual document must not keep all other containers out of the catalogue."""
    strange = INSPECT | {
        "Config": {"Image": "x", "Env": None, "Labels": None, "ExposedPorts": {"8000-8002/udp": {}, "web/tcp": {}}},
        "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "", "HostPort": ""}]}, "Networks": None},
    }
    found = parse_container(strange)
    assert found.exposed == (ContainerPort(80), *(ContainerPort(number, "udp") for number in (8000, 8001, 8002)))
    assert found.bindings == ()
