"""ReplicaSet of real containers under real load: scaled, upgraded and taken away without one failed request.

The load writes (POST): HAProxy never sends such a request twice, so nothing hides a copy that leaves too early.
"""

from __future__ import annotations

import http.client
import threading
import time
from contextlib import contextmanager

import pytest

from provision.adapters.consul.catalogue import Catalogue
from provision.adapters.docker.compose import Compose
from provision.adapters.docker.engine import Engine
from provision.adapters.haproxy import HAProxy
from provision.base.errors import ProvisionError
from provision.base.progress import Silent
from provision.operations.localcloud.single.rolling import ReplicaSet

from .world import PROXY_PORT, READY_TIMEOUT, SOON, WEB_PORT, Load, until

pytestmark = pytest.mark.integration

SERVER = f"""
import http.server, os, socket, sys, time
if os.environ["VERSION"] == "broken":
    sys.exit("this version cannot start")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(8)
        body = (socket.gethostname() + " " + os.environ["VERSION"]).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0))); self.do_GET()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", {WEB_PORT}), Handler).serve_forever()
"""
# It works when it is connected to a broker: here, to itself.
WORKER = """
import os, socket, sys, time
time.sleep(1)
if os.environ["VERSION"] == "deaf":
    time.sleep(1000)
listener = socket.create_server(("127.0.0.1", 5672))
link = socket.create_connection(("127.0.0.1", 5672))
time.sleep(1000)
"""
STACK = """
x-copied: &copied
  image: ${IMAGE}
  init: true
  entrypoint: [python3]
  networks: [world]
  volumes: ["${FOLDER}:/srv:ro"]
services:
  placement:
    <<: *copied
    command: [/srv/server.py]
    hostname: placement-${REPLICA}
    expose: ["8080"]
    environment: {VERSION: "${VERSION}"}
    labels: {test-run: "${RUN}", provision.copy: "${REPLICA}", SERVICE_8080_NAME: web, SERVICE_8080_CHECK_HTTP: /,
             SERVICE_8080_CHECK_INTERVAL: 1s}
  nova-conductor:
    <<: *copied
    command: [/srv/worker.py]
    hostname: nova-conductor-${REPLICA}
    environment: {VERSION: "${VERSION}"}
    labels: {test-run: "${RUN}", provision.copy: "${REPLICA}"}
networks:
  world: {name: "${RUN}", external: true}
"""


class Writes(Load):
    """The same pace of requests that nobody may repeat."""

    def one(self, path="/", timeout=30):
        link = http.client.HTTPConnection(self.address, PROXY_PORT, timeout=timeout)
        try:
            link.request("POST", path, b"x")
            answer = link.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, repr(error)
        finally:
            link.close()
        return answer.status, text


class Site:
    """A Compose project of two copied services, beside the world's Consul, Registrator and HAProxy."""

    def __init__(self, world, folder):
        self.world = world
        (folder / "server.py").write_text(SERVER)
        (folder / "worker.py").write_text(WORKER)
        (folder / "stack.yaml").write_text(STACK)
        (folder / "values.env").write_text(
            f"IMAGE={world.images['registrator']}\nRUN={world.run}\nFOLDER={folder}\nVERSION=1\nREPLICA=1\n"
        )
        self.compose = Compose(f"{world.run}-copies", (folder / "stack.yaml",), folder / "values.env", {})
        self.engine = Engine()

    def copies(self, version="1", **options):
        return ReplicaSet(
            self.compose.with_values({"VERSION": version}),
            self.engine,
            Catalogue(f"http://{self.world.consul_address}:8500", self.world.passwords["consul_management"]),
            HAProxy(f"http://{self.world.address(self.proxy)}:8404"),
            Silent(),
            **{"ready_timeout": 60, **options},
        )

    @contextmanager
    def running(self):
        self.proxy = self.world.start_haproxy()
        try:
            yield Writes(self.world.address(self.proxy))
        finally:
            self.compose.down(volumes=True)
            self.world.remove(self.proxy)

    def names(self, service):
        found = self.engine.states(self.compose.project)
        return sorted(state.container for state in found if state.service == service)

    def wanted(self, service, count):
        return [f"{self.compose.project}-{service}-{number}" for number in range(1, count + 1)]


@pytest.fixture
def site(world, tmp_path):
    return Site(world, tmp_path)


def test_scaled_upgraded_and_scaled_down_without_one_failed_write(site):
    with site.running() as load:
        copies = site.copies()
        (first,) = copies.start({"placement": 1})
        copies.wait(first)
        until(lambda: load.one()[0] == 200, READY_TIMEOUT, "the first answer")
        with load.running():
            for state in copies.start({"placement": 3}):
                copies.wait(state)
            used = time.monotonic()
            until(
                lambda: {"placement-2 1", "placement-3 1"} <= set(load.since(used)), SOON, "every copy's first request"
            )
            slow: list[tuple[int, str]] = []
            writers = [threading.Thread(target=lambda: slow.append(load.one("/slow"))) for _ in range(3)]
            for writer in writers:
                writer.start()
            time.sleep(0.5)
            site.copies("2").roll("placement", 3)
            done = time.monotonic()
            for writer in writers:
                writer.join()
            until(lambda: len(load.since(done)) == 3, READY_TIMEOUT, "every new copy's first request")
            assert {name.split()[1] for name in load.since(done)} == {"2"}
            assert site.names("placement") == site.wanted("placement", 3)
            site.copies("2").roll("placement", 1)
            alone = time.monotonic()
            until(lambda: load.since(alone)["placement-1 2"] > 5, READY_TIMEOUT)
            assert set(load.since(alone)) == {"placement-1 2"}
        assert [status for status, _ in slow] == [200, 200, 200]
        assert {text.split()[1] for _, text in slow} == {"1"}, "they were under way on copies that had to leave"
        assert not load.failures
        print(f"{len(load.answers)} writes, {len(load.failures)} failed")


def test_a_version_that_cannot_start_leaves_no_trace(site):
    with site.running() as load:
        copies = site.copies()
        for state in copies.start({"placement": 2, "nova-conductor": 1}):
            copies.wait(state)
        before = {state.id for state in site.engine.states(site.compose.project)}
        with load.running():
            with pytest.raises(ProvisionError) as caught:
                site.copies("broken", ready_timeout=30).roll("placement", 2)
            assert caught.value.detail.strip().endswith("this version cannot start")
            with pytest.raises(ProvisionError, match="does not work after 6 s"):
                site.copies("deaf", ready_timeout=6).roll("nova-conductor", 1)
        assert not load.failures
        assert {state.id for state in site.engine.states(site.compose.project)} == before


def test_a_leaving_that_was_interrupted_is_taken_back(site, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with site.running() as load:
        copies = site.copies()
        for state in copies.start({"placement": 2}):
            copies.wait(state)
        monkeypatch.setattr(copies, "_drain", interrupt)
        with pytest.raises(KeyboardInterrupt):
            copies.retire(max(copies.states(), key=lambda state: state.number))
        assert copies.all_healthy()
        with load.running():
            alone = time.monotonic() + SOON
            until(lambda: time.monotonic() > alone + 1, READY_TIMEOUT)
            assert set(load.since(alone)) == {"placement-1 1"}
            (resumed,) = copies.start({"placement": 2})
            copies.wait(resumed)
            both = time.monotonic()
            until(lambda: len(load.since(both)) == 2, SOON, "a request to each")
        assert copies.all_healthy() is None
        assert not load.failures


def test_what_listens_nowhere_keeps_its_name(site):
    with site.running():
        copies = site.copies()
        (first,) = copies.start({"nova-conductor": 1})
        copies.wait(first)
        site.copies("2").roll("nova-conductor", 1)
        (state,) = site.engine.states(site.compose.project)
        assert state.id != first.id
        assert site.names("nova-conductor") == site.wanted("nova-conductor", 1)
        container = site.world.docker.containers.get(state.id)
        assert container.attrs["Config"]["Hostname"] == "nova-conductor-1"
        # What it is made from is what Compose would make: nothing is left to do.
        assert copies.definitions({"nova-conductor": 1}) != site.copies("2").definitions({"nova-conductor": 1})
        assert state.definition == site.copies("2").definitions({"nova-conductor": 1})["nova-conductor"][1]
