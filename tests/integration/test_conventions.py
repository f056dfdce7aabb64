"""The Registrator's conventions, row by row as in its README, each against the real Docker and the real Consul."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from .world import READY_TIMEOUT, SOON, WEB_PORT, until

pytestmark = pytest.mark.integration

PORT = f"{WEB_PORT}/tcp"
DNS = {"53/tcp": None, "53/udp": None}
TWO = {"80/tcp": None, "443/tcp": None}


class Row(NamedTuple):
    """A container's ports and keys, and what becomes of them: end of the id (or the whole) -> name, port, tags."""

    ports: dict[str, None]
    keys: dict[str, str]
    wanted: dict[str, tuple[str, int, list[str]]]
    environment: dict[str, str] | None = None


ROWS = {
    "the image's base name": Row({PORT: None}, {}, {f":{WEB_PORT}": ("registrator", WEB_PORT, [])}),
    "a name": Row({PORT: None}, {"SERVICE_NAME": "web"}, {f":{WEB_PORT}": ("web", WEB_PORT, [])}),
    "a name in the environment": Row(
        {PORT: None}, {}, {f":{WEB_PORT}": ("web", WEB_PORT, [])}, {"SERVICE_NAME": "web"}
    ),
    "a label before the environment": Row(
        {PORT: None}, {"SERVICE_NAME": "label"}, {f":{WEB_PORT}": ("label", WEB_PORT, [])}, {"SERVICE_NAME": "env"}
    ),
    "a name for several ports": Row(
        TWO, {"SERVICE_NAME": "web"}, {":80": ("web-80", 80, []), ":443": ("web-443", 443, [])}
    ),
    "a port's own name": Row(
        TWO,
        {"SERVICE_NAME": "web", "SERVICE_443_NAME": "https"},
        {":80": ("web-80", 80, []), ":443": ("https", 443, [])},
    ),
    "a port's own key in the environment before a general label": Row(
        TWO,
        {"SERVICE_NAME": "web"},
        {":80": ("web-80", 80, []), ":443": ("https", 443, [])},
        {"SERVICE_443_NAME": "https"},
    ),
    "tags in their order, one with a comma": Row(
        {PORT: None}, {"SERVICE_TAGS": r"b,a\,b,c"}, {f":{WEB_PORT}": ("registrator", WEB_PORT, ["b", "a,b", "c"])}
    ),
    "a port's own tags": Row(
        TWO,
        {"SERVICE_NAME": "web", "SERVICE_TAGS": "all", "SERVICE_443_TAGS": "tls"},
        {":80": ("web-80", 80, ["all"]), ":443": ("web-443", 443, ["tls"])},
    ),
    "UDP": Row({"53/udp": None}, {"SERVICE_NAME": "dns"}, {":53:udp": ("dns", 53, ["udp"])}),
    "one port by both protocols": Row(
        DNS, {"SERVICE_53_NAME": "dns"}, {":53": ("dns", 53, []), ":53:udp": ("dns", 53, ["udp"])}
    ),
    "one port by both protocols, each with a name": Row(
        DNS,
        {"SERVICE_53_NAME": "dns", "SERVICE_53_UDP_NAME": "quick"},
        {":53": ("dns", 53, []), ":53:udp": ("quick", 53, ["udp"])},
    ),
    "one protocol ignored": Row(
        DNS, {"SERVICE_53_NAME": "dns", "SERVICE_53_TCP_IGNORE": "1"}, {":53:udp": ("dns", 53, ["udp"])}
    ),
    "an id": Row({PORT: None}, {"SERVICE_ID": "one"}, {"one": ("registrator", WEB_PORT, [])}),
    "an id for one port by both protocols": Row(
        DNS,
        {"SERVICE_ID": "mine", "SERVICE_53_NAME": "dns"},
        {"mine": ("dns", 53, []), "mine:udp": ("dns", 53, ["udp"])},
    ),
    "an id for two ports": Row(
        TWO,
        {"SERVICE_ID": "two", "SERVICE_NAME": "web"},
        {"two:80": ("web-80", 80, []), "two:443": ("web-443", 443, [])},
    ),
    "ignored": Row({PORT: None}, {"SERVICE_IGNORE": "yes"}, {}),
    "not ignored by an empty value": Row(
        {PORT: None}, {"SERVICE_IGNORE": "", "SERVICE_NAME": "web"}, {f":{WEB_PORT}": ("web", WEB_PORT, [])}
    ),
    "a port ignored": Row(TWO, {"SERVICE_NAME": "web", "SERVICE_80_IGNORE": "1"}, {":443": ("web-443", 443, [])}),
    "all but one port ignored": Row(
        TWO, {"SERVICE_NAME": "web", "SERVICE_IGNORE": "1", "SERVICE_80_IGNORE": ""}, {":80": ("web-80", 80, [])}
    ),
    "no port": Row({}, {"SERVICE_NAME": "web"}, {}),
}


def registered(world, name="row", host_id=None):
    """Return what is there of a container, by id: name, port, tags. Ids of our own pattern lose their start."""
    host = host_id or world.run
    container = f"{world.run}-{name}"
    id_ = world.docker.containers.get(container).id[:12]
    return {
        id_of.removeprefix(f"{host}:{container}"): (each["Service"], each["Port"], each["Tags"])
        for id_of, each in (world.get("/v1/agent/services") or {}).items()
        if each["Meta"].get("registrator") == host and each["Meta"].get("container") == id_
    }


def test_every_row_holds(world):
    names = {title: f"row-{number}" for number, title in enumerate(ROWS)}
    for title, row in ROWS.items():
        world.sleeper(names[title], row.keys, ports=row.ports, environment=row.environment)
    # The last in the queue: when it is there, the Registrator has seen all rows.
    world.sleeper("marker", {"SERVICE_NAME": "marker"})
    until(lambda: world.id("marker") in world.catalogue(), READY_TIMEOUT, "the last container")

    def wrong():
        seen = {title: registered(world, names[title]) for title in ROWS}
        return {title: each for title, each in seen.items() if each != ROWS[title].wanted}

    until(lambda: not wrong(), SOON, wrong)


def test_other_keys_are_metadata(world):
    world.sleeper("row", {"SERVICE_NAME": "web", "SERVICE_REGION": "us-2", "SERVICE_8080_Zone": "b", "other": "x"})
    until(lambda: registered(world), READY_TIMEOUT)
    meta = world.get("/v1/agent/services")[world.id("row")]["Meta"]
    assert (meta["region"], meta["zone"]) == ("us-2", "b")
    assert not {"name", "other", "SERVICE_NAME"} & set(meta)


def second(world, *options):
    """Start another Registrator beside the world's; return its host's id."""
    host = f"{world.run}-second"
    world.start_registrator(*options, name="second", host_id=host)
    return host


def test_a_reserved_name_is_for_the_installation_s_containers(world):
    label = "org.example.cloud"
    host = second(world, "--reserve", "mariadb,glance", "--reserve-for", f"{label}=one")
    world.sleeper("ours", {"SERVICE_NAME": "mariadb", label: "one"})
    world.sleeper("stranger", {"SERVICE_NAME": "MariaDB"})
    world.sleeper("elsewhere", {"SERVICE_NAME": "glance", label: "two"})
    # It asks for the id of the cloud's own, and is older than nobody; and something of its own.
    world.sleeper("thief", {"SERVICE_NAME": "own", "SERVICE_ID": f"{host}:{world.run}-ours:{WEB_PORT}"})
    world.sleeper("harmless", {"SERVICE_NAME": "harmless"})
    wanted = {("mariadb", "ours"), ("harmless", "harmless")}

    def seen():
        there = world.catalogue(host) or {}
        return {(name, id_.split(":")[1].removeprefix(f"{world.run}-")) for id_, (name, _, _) in there.items()} - {
            (name, name) for name in ("consul", "registrator", "haproxy")
        }

    until(lambda: wanted <= seen(), READY_TIMEOUT, seen)
    assert {name for name, _ in seen()} & {"MariaDB", "mariadb", "glance", "own"} == {"mariadb"}
    log = world.docker.containers.get(f"{world.run}-second").logs
    for name in ("MariaDB", "glance"):
        until(lambda name=name: f"the name {name} is reserved".encode() in log(), SOON, log)


def test_on_the_host_s_network_an_address_is_said_or_nothing_is_registered(world):
    # docker-py's run() publishes what it exposes, which the host's network does not allow.
    api = world.docker.api
    made = api.create_container(
        world.images["registrator"],
        ["infinity"],
        name=f"{world.run}-row",
        entrypoint=["sleep"],
        labels={"test-run": world.run, "SERVICE_NAME": "hosted", "SERVICE_NETWORK": "host"},
        ports=[WEB_PORT],
        host_config=api.create_host_config(network_mode="host", init=True),
    )
    api.start(made)
    host = second(world, "--address", "127.0.0.9")
    wanted = ("hosted", "127.0.0.9", WEB_PORT)
    until(lambda: wanted in (world.catalogue(host) or {}).values(), READY_TIMEOUT)
    # The world's own Registrator was told no address.
    assert not registered(world)
    assert not [each for each in world.catalogue().values() if not each[1]]


def test_what_is_not_named_is_left_out_when_asked(world):
    host = second(world, "--explicit", "--tags", "all,here")
    world.sleeper("row", {"SERVICE_NAME": "named", "SERVICE_TAGS": "own"})
    world.sleeper("nameless")
    until(lambda: registered(world, host_id=host), READY_TIMEOUT)
    assert registered(world, host_id=host) == {f":{WEB_PORT}": ("named", WEB_PORT, ["own", "all", "here"])}
    assert not [id_ for id_ in world.catalogue(host) if "nameless" in id_]
