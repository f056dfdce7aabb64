"""A real Consul's access rules: what each token may do, what nobody may, and what becomes of lost tokens."""

from __future__ import annotations

import base64
import json

import pytest

from .world import READY_TIMEOUT, SOON, resolve, until

pytestmark = pytest.mark.integration

SERVICES = ("GET", "/v1/catalog/services", None)
CHECKS = ("GET", "/v1/health/service/consul", None)
ANY = ("PUT", "/v1/agent/service/register", {"ID": "by-hand", "Name": "by-hand", "Port": 1})
MEMBER = ("PUT", "/v1/agent/service/register", {"ID": "mariadb", "Name": "mariadb", "Port": 1})
GALERA_KEY = ("PUT", "/v1/kv/galera/test", "x")
OTHER_KEY = ("PUT", "/v1/kv/other", "x")
LIST_KEYS = ("GET", "/v1/kv/galera/?recurse", None)
SESSION = ("PUT", "/v1/session/create", {"TTL": "10s", "Behavior": "delete"})
SELF = ("GET", "/v1/agent/self", None)
TOKENS = ("GET", "/v1/acl/tokens", None)
EVERYTHING = (
    SERVICES, CHECKS, ANY, MEMBER, GALERA_KEY, OTHER_KEY, LIST_KEYS, SESSION, SELF, TOKENS,
)  # fmt: skip
READING = (SERVICES, CHECKS)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("", READING),
        ("registrator", (*READING, SELF, ANY, MEMBER)),
        ("monitoring", (*READING, SELF)),
        ("mariadb", (*READING, SELF, SESSION, GALERA_KEY, LIST_KEYS, MEMBER)),
        ("management", EVERYTHING),
    ],
)
def test_each_token_does_what_it_is_for_and_nothing_else(world, name, allowed):
    token = world.passwords[f"consul_{name}"] if name else ""
    try:
        for request in EVERYTHING:
            method, path, body = request
            status, text = world.ask(path, method, body, token=token)
            # A list of what one may not read is refused, or empty, as Consul likes it.
            done = status == 200 and text not in (b"{}", b"[]")
            assert done == (request in allowed), (request, status, text)
    finally:
        for id_ in ("by-hand", "mariadb"):
            world.get(f"/v1/agent/service/deregister/{id_}", "PUT")
        world.get("/v1/kv/?recurse", "DELETE")


def test_a_lock_is_held_by_one_at_a_time_with_the_entrypoints_own_token(world):
    token = world.passwords["consul_mariadb"]
    sessions = [json.loads(world.ask(SESSION[1], "PUT", SESSION[2], token=token)[1])["ID"] for _ in range(2)]
    got = [world.ask(f"/v1/kv/galera/lock?acquire={each}", "PUT", "me", token=token)[1].strip() for each in sessions]
    assert got == [b"true", b"false"]
    for each in sessions:
        assert world.ask(f"/v1/session/destroy/{each}", "PUT", token=token)[0] == 200


def in_dns(world, name):
    return resolve(world.consul_address, f"{name}.service.consul", 1)[1]


def test_a_consul_that_lost_its_volume_is_told_rules_and_services_again(world):
    container = world.web("kept", {"SERVICE_NAME": "kept"})
    until(lambda: world.passing("kept"), READY_TIMEOUT)
    world.remove(world.docker.containers.get(f"{world.run}-consul"))
    world.start_consul()
    took = until(lambda: in_dns(world, "kept") == [world.address(container)], READY_TIMEOUT)
    print(f"back in DNS {took:.2f} s after the tokens")
    world.settled()


def test_lost_files_end_the_old_tokens_and_leave_nothing_behind(world):
    """New secrets on old data: what is alive stays, what has gone meanwhile goes, and the old tokens open nothing."""
    registrator = world.docker.containers.get(f"{world.run}-registrator")
    consul = world.docker.containers.get(f"{world.run}-consul")
    stays, goes = (world.web(name, {"SERVICE_NAME": name}) for name in ("stays", "goes"))
    until(lambda: world.passing("stays") and world.passing("goes"), READY_TIMEOUT)
    registrator.kill()
    world.remove(goes)
    old = world.passwords
    world.new_passwords()
    consul.restart(timeout=5)
    world.give_access()
    registrator.start()
    until(lambda: world.get("/v1/catalog/service/goes") == [], READY_TIMEOUT, "the end of what has gone")
    until(lambda: world.passing("stays") == {world.address(stays)}, SOON, "what stays")
    # Its checks are still followed: Consul works on a service with the token that registered it.
    stays.exec_run(["pkill", "python3"])
    until(lambda: not world.passing("stays"), READY_TIMEOUT, "a failed check")
    for name in ("management", "registrator", "mariadb", "monitoring"):
        assert world.ask("/v1/agent/self", token=old[f"consul_{name}"])[0] == 403
    ring = json.loads(consul.exec_run(["cat", "/var/lib/consul/serf/local.keyring"]).output)
    assert ring == [world.passwords["consul_gossip"]]
    assert len(base64.b64decode(ring[0])) == 32


def test_giving_access_again_changes_nothing(world):
    before = world.get("/v1/acl/tokens"), world.get("/v1/acl/policies")
    world.give_access()
    assert (world.get("/v1/acl/tokens"), world.get("/v1/acl/policies")) == before
