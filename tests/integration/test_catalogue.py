"""Real containers, a real Consul, our Registrator, HAProxy: the catalogue equals the truth, whatever happens."""

from __future__ import annotations

import random
import socket
import threading
import time
from functools import partial

import pytest

from .world import CHECK, READY_TIMEOUT, SOON, WEB_PORT, resolve, until

pytestmark = pytest.mark.integration


def test_a_container_s_whole_life_is_followed_within_seconds(world):
    container = world.sleeper("life", {"SERVICE_NAME": "life"})
    id_ = world.id("life")
    there = lambda: id_ in world.catalogue()  # noqa: E731
    gone = lambda: id_ not in world.catalogue()  # noqa: E731
    until(there, SOON, "start")
    assert world.catalogue()[id_] == ("life", world.address(container), WEB_PORT)
    for act, wanted in (
        (container.pause, gone),
        (container.unpause, there),
        (lambda: container.stop(timeout=1), gone),
        (container.start, there),
        (container.kill, gone),
        (container.start, there),
    ):
        act()
        until(wanted, SOON, str(act))
    container.rename(f"{world.run}-renamed")
    until(lambda: gone() and world.id("renamed") in world.catalogue(), SOON, "rename")
    container.remove(force=True)
    until(lambda: world.id("renamed") not in world.catalogue(), SOON, "remove")


def test_a_renamed_container_is_never_missing(world):
    container = world.web("before")
    until(lambda: world.passing("web"), READY_TIMEOUT)
    ended, missing = threading.Event(), []

    def watch():
        while not ended.wait(0.005):
            if not world.passing("web"):
                missing.append(time.monotonic())

    thread = threading.Thread(target=watch)
    thread.start()
    container.rename(f"{world.run}-after")
    until(lambda: set(world.catalogue()) & {world.id("before"), world.id("after")} == {world.id("after")}, SOON)
    time.sleep(0.3)
    ended.set()
    thread.join()
    assert not missing


CHECKS = {
    "HTTP": ({"HTTP": "/"}, "passing", "HTTP GET http://{at}/: 200 OK"),
    # The server knows GET alone, and HTTP alone.
    "HTTP_METHOD": ({"HTTP": "/", "HTTP_METHOD": "POST"}, "critical", "HTTP POST http://{at}/: 501"),
    "HTTPS": ({"HTTPS": "/", "TLS_SKIP_VERIFY": "1"}, "critical", 'Get "https://{at}/"'),
    "TCP": ({"TCP": "true"}, "passing", "TCP connect {at}: Success"),
    "GRPC": ({"GRPC": "true"}, "critical", "rpc error"),
    "SCRIPT": ({"SCRIPT": "echo I see $SERVICE_IP:$SERVICE_PORT"}, "passing", "I see {at}"),
    "CMD": ({"CMD": "/check.sh"}, "critical", "check-cmd"),
    "TTL": ({"TTL": "1s", "INITIAL_STATUS": "passing"}, "critical", "TTL expired"),
    "INITIAL_STATUS": ({"TTL": "60s", "INITIAL_STATUS": "warning"}, "warning", ""),
    "FAILURES_BEFORE_CRITICAL": (
        {"SCRIPT": "exit 2", "INITIAL_STATUS": "passing", "FAILURES_BEFORE_CRITICAL": "2"},
        "critical",
        "",
    ),
}


@pytest.mark.parametrize(("keys", "status", "output"), CHECKS.values(), ids=CHECKS.keys())
def test_consul_carries_out_every_check(world, keys, status, output):
    labels = dict.fromkeys(CHECK, "") | {"SERVICE_CHECK_" + key: value for key, value in keys.items()}
    container = world.web("checked", labels | {"SERVICE_CHECK_INTERVAL": "1s"})
    check = f"service:{world.id('checked')}"
    wanted = output.format(at=f"{world.address(container)}:{WEB_PORT}")

    def carried_out():
        found = (world.get("/v1/agent/checks") or {}).get(check) or {}
        return found.get("Status") == status and wanted in found["Output"]

    until(carried_out, READY_TIMEOUT, lambda: world.get("/v1/agent/checks").get(check))


def test_a_healthcheck_is_followed(world):
    healthcheck = {"test": ["CMD", "test", "-e", "/healthy"], "interval": 500_000_000, "retries": 1}
    container = world.sleeper("health", {"SERVICE_NAME": "health"}, healthcheck=healthcheck)
    id_ = world.id("health")
    until(lambda: world.status(id_) == "critical", SOON)
    container.exec_run(["touch", "/healthy"])
    until(lambda: world.status(id_) == "passing", READY_TIMEOUT, "healthy")
    assert world.passing("health") == {world.address(container)}
    container.exec_run(["rm", "/healthy"])
    until(lambda: world.status(id_) == "critical", READY_TIMEOUT, "unhealthy")
    assert not world.passing("health")


def test_of_several_networks_the_chosen_one_counts(world):
    other = world.docker.networks.create(f"{world.run}-other", labels={"test-run": world.run})
    try:
        both = world.sleeper("both")
        other.connect(both)
        labelled = world.sleeper("labelled", {"SERVICE_NETWORK": other.name})
        other.connect(labelled)
        world.sleeper("elsewhere", network=other.name)
        wanted = {world.id("both"): world.address(both), world.id("labelled"): world.address(labelled, other.name)}
        until(
            lambda: {id_: each[1] for id_, each in world.catalogue().items() if each[2] == WEB_PORT} == wanted,
            READY_TIMEOUT,
        )
        # The chosen network is left, and joined again with another address.
        world.network.disconnect(both)
        until(lambda: world.id("both") not in world.catalogue(), SOON, "disconnect")
        world.network.connect(both)
        until(lambda: world.catalogue().get(world.id("both"), ("", ""))[1] == world.address(both), SOON, "connect")
    finally:
        world.clear()
        other.remove()


def test_a_shared_namespace_is_its_owner_s(world):
    owner = world.sleeper("owner", {"SERVICE_IGNORE": "1"})
    joiner = world.sleeper(
        "joiner", {f"SERVICE_{WEB_PORT}_NAME": "joined"}, network=f"container:{owner.id}", ports=None
    )
    until(lambda: world.catalogue().get(world.id("joiner")) == ("joined", world.address(owner), WEB_PORT), SOON)
    joiner.kill()
    until(lambda: world.id("joiner") not in world.catalogue(), SOON)


def test_dns_knows_the_healthy_both_families_and_the_rest_of_the_world(world):
    container = world.web("dns", {"SERVICE_NAME": "named", "SERVICE_IPV6": "yes"})
    until(lambda: world.passing("named"), READY_TIMEOUT)
    container.reload()
    at = container.attrs["NetworkSettings"]["Networks"][world.run]
    assert resolve(world.consul_address, "named.service.consul", 1) == (0, [at["IPAddress"]])
    assert resolve(world.consul_address, "named.service.consul", 28) == (0, [at["GlobalIPv6Address"]])
    # Forwarded: Docker's own resolver knows containers by their names.
    assert resolve(world.consul_address, container.name, 1) == (0, [at["IPAddress"]])
    world.web("sick", {"SERVICE_NAME": "sick", "SERVICE_CHECK_HTTP": "", "SERVICE_CHECK_SCRIPT": "exit 2"})
    until(lambda: world.status(world.id("sick")) == "critical", SOON)
    assert resolve(world.consul_address, "sick.service.consul", 1) == (3, [])


def test_published_ports_are_registered_on_the_host_s_address(world):
    container = world.sleeper("pub", {"SERVICE_NAME": "pub"}, ports={f"{WEB_PORT}/tcp": ("127.0.0.1", None)})
    command = ["registrator", "--host-id", f"{world.run}-pub", "--consul", f"http://{world.consul_address}:8500"]
    command += ["--docker", "unix:///engine/docker.sock", "--consul-token-file", "/config/consul-token"]
    volumes = {"/var/run": {"bind": "/engine", "mode": "rw"}, str(world.folder): {"bind": "/config", "mode": "ro"}}
    second = world.start("second", "registrator", command, volumes=volumes)
    container.reload()
    port = int(container.attrs["NetworkSettings"]["Ports"][f"{WEB_PORT}/tcp"][0]["HostPort"])
    id_ = f"{world.run}-pub:{container.name}:{WEB_PORT}"
    until(lambda: (world.catalogue(f"{world.run}-pub") or {}).get(id_) == ("pub", "127.0.0.1", port), READY_TIMEOUT)
    # Both modes live side by side, each with its own.
    assert world.catalogue()[world.id("pub")] == ("pub", world.address(container), WEB_PORT)
    world.remove(second)
    for each in world.catalogue(f"{world.run}-pub"):
        world.get(f"/v1/agent/service/deregister/{each}", "PUT")


def test_it_tidies_up_after_its_own_crash_and_touches_nobody_else_s(world):
    registrator = world.docker.containers.get(f"{world.run}-registrator")
    foreign = {"ID": "other:web:80", "Name": "web2", "Port": 80, "Meta": {"registrator": "another-host"}}
    by_hand = {"ID": world.id("hand"), "Name": "hand", "Port": 80}
    for body in (foreign, by_hand):
        assert world.get("/v1/agent/service/register", "PUT", body)
    doomed, stays = world.sleeper("doomed"), world.sleeper("stays")
    world.settled()
    registrator.kill()
    world.remove(doomed)
    late = world.sleeper("late")
    registrator.start()
    took = world.settled()
    print(f"catalogue right {took:.2f} s after the start")
    assert {world.id("stays"), world.id("late")} <= set(world.catalogue())
    assert {"other:web:80", world.id("hand")} <= set(world.get("/v1/agent/services"))
    world.remove(stays, late)
    world.settled()
    for body in (foreign, by_hand):
        world.get(f"/v1/agent/service/deregister/{body['ID']}", "PUT")


class Churn:
    """Containers that start, stop, pause and are renamed all the time, and some that live throughout."""

    def __init__(self, world, seed):
        self.world = world
        self.random = random.Random(seed)
        self.steady = [world.sleeper(f"steady-{number}") for number in range(3)]
        self.changing = [world.sleeper(f"changing-{number}") for number in range(4)]
        self.ended = threading.Event()
        self.missing = []
        self.acts = 0

    def __enter__(self):
        self.world.settled()
        self.threads = [threading.Thread(target=self._change), threading.Thread(target=self._watch)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def _change(self):
        while not self.ended.is_set():
            each = self.random.choice(self.changing)
            each.reload()
            rename = partial(each.rename, f"{self.world.run}-moved-{self.random.randrange(1000)}")
            acts = {
                "running": [each.kill, each.pause, rename],
                "paused": [each.unpause],
                "exited": [each.start],
            }
            self.random.choice(acts[each.status])()
            self.acts += 1

    def _watch(self):
        steady = {self.world.id(each.name, prefix=False) for each in self.steady}
        while not self.ended.wait(0.02):
            there = self.world.catalogue()
            # Consul itself may be away: that is no lie about the services.
            if there is not None and not steady <= set(there):
                self.missing.append(steady - set(there))


@pytest.mark.parametrize("kills", [10, pytest.param(50, marks=pytest.mark.acceptance)])
def test_killed_and_restarted_in_the_middle_of_everything(world, kills):
    registrator = world.docker.containers.get(f"{world.run}-registrator")
    with Churn(world, seed=1) as churn:
        for _ in range(kills):
            registrator.kill()
            time.sleep(churn.random.uniform(0, 0.4))
            registrator.start()
            time.sleep(churn.random.uniform(0, 1.0))
    world.settled()
    print(f"{churn.acts} changes during {kills} kills")
    assert churn.acts > 2 * kills
    assert not churn.missing


def test_consul_restarts_in_the_middle_of_everything(world):
    consul = world.docker.containers.get(f"{world.run}-consul")
    with Churn(world, seed=2) as churn:
        for _ in range(2):
            consul.kill()
            time.sleep(1)
            consul.start()
            until(lambda: world.get("/v1/status/leader"), READY_TIMEOUT)
            time.sleep(1)
    took = world.settled()
    print(f"catalogue right {took:.2f} s after Consul")
    assert not churn.missing


def test_a_consul_that_has_forgotten_everything_is_told_again(world):
    world.sleeper("kept")
    world.settled()
    for id_ in world.catalogue():
        world.get(f"/v1/agent/service/deregister/{id_}", "PUT")
    took = world.settled()
    print(f"catalogue right after {took:.2f} s")


class Gate:
    """A way to Docker's socket that can be shut: what a restarted engine looks like from outside."""

    def __init__(self, folder):
        self.path = folder / "docker.sock"
        self.links = []
        self.listener = None
        self.open()

    def open(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def shut(self):
        self.path.unlink()
        # close() alone would not wake the thread that accepts.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for link in self.links:
            try:
                link.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self.links.clear()

    def _accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect("/var/run/docker.sock")
            self.links += [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=pair, daemon=True).start()

    def _copy(self, source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return


def test_docker_goes_away_and_comes_back(world, tmp_path):
    gate = Gate(tmp_path)
    host = f"{world.run}-gate"
    # So long between resyncs that events alone can be what it follows.
    second = world.start_registrator(name="second", docker_folder=tmp_path, host_id=host, resync="60")
    container = world.sleeper("gated")
    id_ = f"{host}:{container.name}:{WEB_PORT}"
    until(lambda: id_ in world.catalogue(host), READY_TIMEOUT)
    gate.shut()
    time.sleep(3)
    assert id_ in world.catalogue(host), "an engine that doesn't answer says nothing about its containers"
    world.remove(container)
    again = world.sleeper("again")
    gate.open()
    wanted = f"{host}:{again.name}:{WEB_PORT}"
    took = until(lambda: wanted in world.catalogue(host) and id_ not in world.catalogue(host), READY_TIMEOUT)
    print(f"catalogue right {took:.2f} s after Docker")
    again.kill()
    until(lambda: wanted not in world.catalogue(host), SOON)
    world.remove(again, second)
    gate.shut()
    for each in world.catalogue(host):
        world.get(f"/v1/agent/service/deregister/{each}", "PUT")
