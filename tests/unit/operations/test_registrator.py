"""The Registrator between a fake engine and a fake catalogue: order, outages, refusals, heartbeats."""

from __future__ import annotations

import queue
import threading
import time

import pytest

from provision.adapters.consul.http import ConsulRefusedError, ConsulUnavailableError
from provision.adapters.docker.events import DockerUnavailableError
from provision.model.registrator.container import Container, ContainerNetwork, ContainerPort
from provision.model.registrator.services import RegistratorSettings
from provision.operations.registrator import Registrator


def container(key, **changes):
    return Container(
        id=key * 8,
        image=key,
        networks=(ContainerNetwork("n", "n", "10.0.0.1"),),
        exposed=(ContainerPort(80),),
        **({"name": key} | changes),
    )


class FakeEngine:
    def __init__(self, *containers):
        self.all = {each.id: each for each in containers}
        self.away = False
        self.stream = queue.Queue()
        self.calls = []

    def containers(self):
        self.calls.append("containers")
        if self.away:
            raise DockerUnavailableError("Docker does not answer")
        return tuple(self.all.values())

    def forget(self, container_id):
        self.calls.append(f"forget {container_id}")

    def events(self):
        self.calls.append("events")
        if self.away:
            raise DockerUnavailableError("Docker does not answer")
        yield ""
        while (event := self.stream.get()) is not None:
            yield event
        raise DockerUnavailableError("Docker ended its stream of events")


class FakeCatalogue:
    def __init__(self):
        self.entries = {}
        self.away = False
        self.refuses = set()
        self.lost = set()
        self.unreadable = False
        self.beats = []
        self.log = []

    def _answer(self):
        if self.away:
            raise ConsulUnavailableError("Consul does not answer")

    def services(self):
        self._answer()
        if self.unreadable:
            raise ConsulRefusedError("Consul refuses", detail="Permission denied")
        return dict(self.entries)

    def statuses(self):
        return {}

    def address(self):
        self._answer()
        return "192.0.2.7"

    def register(self, body):
        self._answer()
        if body["ID"] in self.refuses:
            raise ConsulRefusedError("Consul refuses", detail="no")
        self.log.append(("+", body["ID"]))
        self.lost.discard(body["ID"])
        self.entries[body["ID"]] = {**body, "Service": body["Name"]}

    def deregister(self, service_id):
        self._answer()
        if service_id in self.refuses:
            raise ConsulRefusedError("Consul refuses", detail="no")
        self.log.append(("-", service_id))
        self.entries.pop(service_id, None)

    def heartbeat(self, service_id, status, output):
        self._answer()
        if service_id in self.lost:
            raise ConsulRefusedError("Consul refuses", detail="unknown check")
        self.beats.append((service_id, status))


@pytest.fixture
def world():
    engine, catalogue, lines = FakeEngine(container("a")), FakeCatalogue(), []

    def report(event, level="info", **fields):
        lines.append((event, fields))

    started = []

    def start(resync=60.0, internal=True, ttl=60):
        worker = Registrator(engine, catalogue, RegistratorSettings("h", internal, ttl=ttl), report, resync=resync)
        thread = threading.Thread(target=worker.run, daemon=True)
        thread.start()
        started.append((worker, thread))
        return worker

    yield engine, catalogue, lines, start
    engine.stream.put(None)
    for worker, thread in started:
        worker.stop()
        thread.join(5)
        assert not thread.is_alive()


def until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def test_it_subscribes_before_it_looks(world):
    engine, catalogue, _, start = world
    start()
    until(lambda: "h:a:80" in catalogue.entries)
    assert engine.calls.index("events") < engine.calls.index("containers")


def test_an_event_is_followed_at_once(world):
    engine, catalogue, _, start = world
    start(resync=60)
    until(lambda: "h:a:80" in catalogue.entries)
    engine.all["b" * 8] = container("b")
    engine.stream.put("b" * 8)
    until(lambda: "h:b:80" in catalogue.entries)
    assert "forget " + "b" * 8 in engine.calls
    del engine.all["a" * 8]
    engine.stream.put("a" * 8)
    until(lambda: "h:a:80" not in catalogue.entries)


def test_without_events_the_resync_finds_it(world):
    engine, catalogue, _, start = world
    start(resync=0.05)
    until(lambda: "h:a:80" in catalogue.entries)
    engine.all["b" * 8] = container("b")
    until(lambda: "h:b:80" in catalogue.entries)
    catalogue.entries.clear()
    until(lambda: len(catalogue.entries) == 2)


def test_a_rename_adds_before_it_removes(world):
    engine, catalogue, _, start = world
    start()
    until(lambda: "h:a:80" in catalogue.entries)
    engine.all["a" * 8] = container("a", name="z")
    engine.stream.put("a" * 8)
    until(lambda: len(catalogue.log) == 3)
    assert catalogue.log == [("+", "h:a:80"), ("+", "h:z:80"), ("-", "h:a:80")]


def test_a_docker_that_goes_away_removes_nothing(world):
    engine, catalogue, lines, start = world
    start(resync=0.05)
    until(lambda: "h:a:80" in catalogue.entries)
    engine.away = True
    engine.stream.put(None)
    until(lambda: any(event == "away" for event, _ in lines))
    assert "h:a:80" in catalogue.entries
    engine.all = {"b" * 8: container("b")}
    engine.away = False
    until(lambda: set(catalogue.entries) == {"h:b:80"})
    until(lambda: engine.calls.count("events") >= 2)
    until(lambda: ("back", {"after": "DockerUnavailableError"}) in lines)


def test_a_docker_that_stays_away_ends_it_so_that_it_is_started_with_the_new_socket():
    engine, catalogue = FakeEngine(container("a")), FakeCatalogue()
    lines = []
    settings = RegistratorSettings("h", internal=True)
    worker = Registrator(engine, catalogue, settings, lambda event, **_: lines.append(event), resync=0.05, give_up=0.3)
    register = catalogue.register
    catalogue.register = lambda body: (register(body), setattr(engine, "away", True))
    with pytest.raises(DockerUnavailableError):
        worker.run()
    assert "away" in lines
    assert "h:a:80" in catalogue.entries, "what it has registered stays"


def test_a_consul_that_goes_away_is_said_once_and_made_good(world):
    _, catalogue, lines, start = world
    catalogue.away = True
    start(resync=0.05)
    until(lambda: any(event == "away" for event, _ in lines))
    time.sleep(0.6)
    assert len([event for event, _ in lines if event == "away"]) == 1
    assert not catalogue.entries
    catalogue.away = False
    until(lambda: "h:a:80" in catalogue.entries)


def test_one_refused_registration_stops_no_other(world):
    engine, catalogue, lines, start = world
    engine.all["b" * 8] = container("b")
    catalogue.refuses.add("h:a:80")
    start(resync=0.05)
    until(lambda: "h:b:80" in catalogue.entries)
    time.sleep(0.2)
    assert len([event for event, _ in lines if event == "problem"]) == 1
    catalogue.refuses.clear()
    until(lambda: "h:a:80" in catalogue.entries)
    until(lambda: any(event == "solved" for event, _ in lines))


def test_a_refused_removal_stops_nothing_and_refused_reading_is_tried_again(world):
    _, catalogue, lines, start = world
    catalogue.entries["h:old:80"] = {"Service": "old", "Address": "", "Port": 80, "Meta": {"registrator": "h"}}
    catalogue.refuses.add("h:old:80")
    catalogue.unreadable = True
    start(resync=0.05)
    until(lambda: ("away", "ConsulRefusedError") in [(event, fields.get("who")) for event, fields in lines])
    catalogue.unreadable = False
    until(lambda: "h:a:80" in catalogue.entries)
    until(lambda: any(event == "problem" and "h:old:80" in fields["reason"] for event, fields in lines))
    catalogue.refuses.clear()
    until(lambda: "h:old:80" not in catalogue.entries)


def test_what_another_token_registered_is_taken_over_before_it_is_removed(world):
    _, catalogue, _, start = world
    meta = {"registrator": "h", "holder": "an earlier one"}
    catalogue.entries["h:old:80"] = {"Service": "old", "Address": "", "Port": 80, "Meta": meta}
    start()
    until(lambda: "h:old:80" not in catalogue.entries)
    assert catalogue.log == [("+", "h:a:80"), ("+", "h:old:80"), ("-", "h:old:80")]


def test_health_is_reported_at_once_and_kept_fresh(world):
    engine, catalogue, lines, start = world
    engine.all = {"a" * 8: container("a", health="starting")}
    start(resync=0.05, ttl=1)
    until(lambda: ("h:a:80", "critical") in catalogue.beats)
    engine.all = {"a" * 8: container("a", health="healthy")}
    engine.stream.put("a" * 8)
    until(lambda: catalogue.beats.count(("h:a:80", "passing")) >= 3)
    # Said once in the log, whatever is sent; and registered once, whatever the health.
    assert len([event for event, fields in lines if event == "health" and fields["status"] == "passing"]) == 1
    assert catalogue.log == [("+", "h:a:80")]


def test_published_ports_take_the_agent_s_address(world):
    from provision.model.registrator.container import Binding

    engine, catalogue, _, start = world
    engine.all = {"a" * 8: container("a", bindings=(Binding(ContainerPort(80), "0.0.0.0", 8080),))}
    start(internal=False)
    until(lambda: "h:a:80" in catalogue.entries)
    assert (catalogue.entries["h:a:80"]["Address"], catalogue.entries["h:a:80"]["Port"]) == ("192.0.2.7", 8080)


def test_it_stops_while_nothing_answers():
    engine, catalogue = FakeEngine(), FakeCatalogue()
    engine.away = catalogue.away = True
    worker = Registrator(engine, catalogue, RegistratorSettings("h", internal=True), lambda *_, **__: None)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    time.sleep(0.1)
    worker.stop()
    thread.join(5)
    assert not thread.is_alive()


def test_a_check_that_somebody_removed_is_put_back(world):
    engine, catalogue, _, start = world
    engine.all = {"a" * 8: container("a", health="healthy")}
    start(resync=0.05, ttl=1)
    until(lambda: catalogue.beats)
    catalogue.lost.add("h:a:80")
    until(lambda: not catalogue.lost)
    assert catalogue.log == [("+", "h:a:80")] * 2
