"""One look at the local cloud: what is read out of Docker's lists."""

from __future__ import annotations

import pytest
from docker.errors import APIError

from provision.adapters.docker.outline import read_outline
from provision.base.errors import ProvisionError
from provision.model.localcloud.replicas import REPLICA_LABEL


def listed(name, *, state="running", networks=("n1",), **labels):
    """A container as Docker lists it."""
    own = {
        "com.docker.compose.project": "provision",
        "com.docker.compose.service": name,
        "com.docker.compose.oneoff": "False",
        "com.docker.compose.config-hash": f"hash-{name}",
    }
    return {
        "Id": f"id-{name}",
        "Names": [f"/provision-{name}-1"],
        "Image": f"provision/{name}:1",
        "ImageID": f"sha256:{name}",
        "Labels": own | labels,
        "State": state,
        "Status": "Up 3 hours",
        "Created": 1700000000,
        "NetworkSettings": {"Networks": {each: {"NetworkID": each} for each in networks}},
    }


@pytest.fixture
def api(client):
    api = client.api
    api.version.return_value = {"Version": "26.1.5"}
    api.networks.return_value = [{"Name": "provision_default", "Id": "n1"}]
    api.images.return_value = [{"RepoTags": ["provision/web:1"]}, {"RepoTags": None}]
    api.containers.return_value = []
    return api


def test_what_is_listed(api):
    registered = {"SERVICE_80_NAME": "web", REPLICA_LABEL: "2"}
    api.containers.return_value = [listed("web", networks=("n2", "n1"), **registered), listed("db")]
    found = read_outline()
    assert (found.engine, found.networks, found.images) == ("26.1.5", {"provision_default": "n1"}, {"provision/web:1"})
    db, web = found.containers
    assert (web.service, web.container, web.number, web.registers) == ("web", "provision-web-1", 2, True)
    assert (web.definition, web.digest, web.image) == ("hash-web", "sha256:web", "provision/web:1")
    assert (db.number, db.registers) == (1, False)
    assert found.connections == {"id-web": ("n1", "n2"), "id-db": ("n1",)}
    assert found.runs
    # No container is inspected: the number of requests does not depend on theirs.
    assert len(api.method_calls) == 4


def test_one_shot_runs_do_not_count(api):
    api.containers.return_value = [listed("db"), listed("job", state="exited", **{"com.docker.compose.oneoff": "True"})]
    assert [each.service for each in read_outline().containers] == ["db"]
    assert read_outline().runs


@pytest.mark.parametrize("states", [(), ("running", "exited"), ("restarting",), ("created",)])
def test_what_does_not_run(api, states):
    api.containers.return_value = [listed(f"s{number}", state=state) for number, state in enumerate(states)]
    assert not read_outline().runs


def test_an_engine_that_breaks_off(api):
    api.networks.side_effect = APIError("gone")
    with pytest.raises(ProvisionError, match="Docker"):
        read_outline()
