"""HAProxy with backends from a real Consul: copies come and go, nothing is reloaded, no read fails."""

from __future__ import annotations

import http.client
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from provision.adapters.net import served_certificate

from .world import PROXY_PORT, READY_TIMEOUT, TLS_PORT, Load, until

pytestmark = pytest.mark.integration


def processes(container):
    """Return the process ids in a container."""
    return [line[1] for line in container.top()["Processes"]]


def test_haproxy_follows_without_a_reload_and_without_a_failed_read(world):
    proxy = world.start_haproxy()
    try:
        checked = proxy.exec_run(["haproxy", "-c", "-f", "/etc/haproxy/haproxy.cfg"])
        assert checked.exit_code == 0, checked.output
        assert b"WARNING" not in checked.output, checked.output
        world.web("one")
        load = Load(world.address(proxy))
        until(lambda: load.one()[0] == 200, READY_TIMEOUT, "the first answer")
        workers = processes(proxy)
        late, connected = http.client.HTTPConnection(world.address(proxy), PROXY_PORT, timeout=30), time.monotonic()
        late.connect()
        with load.running():
            two, began = world.web("two"), time.monotonic()
            until(lambda: load.since(began)["two"], READY_TIMEOUT, "the new copy's first request")
            first = next(when for when, who in load.answers if who == "two") - began
            three = world.web("three")
            until(lambda: load.since(began)["three"], READY_TIMEOUT)
            two.kill()
            killed = time.monotonic()
            time.sleep(3)
            three.pause()
            paused = time.monotonic()
            time.sleep(3)
            # What was under way is answered now: nobody has cut it off.
            unpaused = time.monotonic()
            three.unpause()
            until(lambda: load.since(unpaused + 0.5)["three"], READY_TIMEOUT, "the unpaused copy's first request")
        print(f"new copy's first request after {first:.2f} s; dead one's last after {load.last('two') - killed:.2f} s")
        assert load.since(killed + 1)["two"] == 0
        assert not [when for when, who in load.answers if who == "three" and paused + 0.1 < when < unpaused]
        assert load.since(paused)["one"] > 10
        assert not load.failures
        # nova-compute, busy with an image, connects, and says what it wants much later.
        time.sleep(max(0.0, connected + 12 - time.monotonic()))
        late.request("GET", "/")
        assert late.getresponse().status == 200
        assert processes(proxy) == workers, "HAProxy was reloaded"
        until(lambda: world.passing("haproxy"), READY_TIMEOUT, "HAProxy in the catalogue")
    finally:
        world.remove(proxy)


def test_haproxy_lives_through_consul_s_absence(world):
    proxy = world.start_haproxy()
    consul = world.docker.containers.get(f"{world.run}-consul")
    try:
        # Seldom checked: a Consul that has just started says for seconds that it is not well.
        world.web("one", {"SERVICE_CHECK_INTERVAL": "8s"})
        load = Load(world.address(proxy))
        until(lambda: load.one()[0] == 200, READY_TIMEOUT, "the first answer")
        with load.running():
            consul.kill()
            time.sleep(4)
            consul.start()
            until(lambda: world.get("/v1/status/leader"), READY_TIMEOUT)
            time.sleep(3)
            until(lambda: world.passing("web"), READY_TIMEOUT, "its check after Consul's restart")
        assert not load.failures
        assert len(load.answers) > 50
    finally:
        world.remove(proxy)


def test_users_are_served_by_tls_and_a_new_certificate_breaks_no_connection(world):
    proxy = world.start_haproxy()
    try:
        world.web("one")
        load = Load(world.address(proxy), authority=world.folder / "tls/ca.pem")
        until(lambda: load.one()[0] == 200, READY_TIMEOUT, "the first answer")
        before = served_certificate(load.address, TLS_PORT)
        workers = processes(proxy)
        with load.running():
            time.sleep(1)
            new = world.new_certificate()
            done = proxy.exec_run(["/entrypoint", "certificate"])
            assert done.exit_code == 0, done.output
            assert served_certificate(load.address, TLS_PORT) == new != before
            time.sleep(1)
        assert len(load.answers) > 20
        assert not load.failures
        assert processes(proxy) == workers
        # What is no certificate is refused, and the one before stays.
        (world.folder / "tls.pem").write_text("nonsense\n")
        assert proxy.exec_run(["/entrypoint", "certificate"]).exit_code == 1
        assert served_certificate(load.address, TLS_PORT) == new
    finally:
        world.remove(proxy)


def test_a_service_hears_how_its_client_came_from_nobody_but_haproxy(world):
    proxy = world.start_haproxy()
    try:
        world.web("one")
        plain = Load(world.address(proxy))
        by_tls = Load(plain.address, authority=world.folder / "tls/ca.pem")
        until(lambda: plain.one()[0] == 200, READY_TIMEOUT, "the first answer")
        lies = {"X-Forwarded-Proto": "gopher", "X-Forwarded-Host": "evil", "Forwarded": "host=evil"}
        for load, proto in ((plain, "http"), (by_tls, "https")):
            status, text = load.one("/headers", lies)
            said = dict(line.split(": ", 1) for line in text.lower().splitlines() if line)
            assert status == 200
            assert said["x-forwarded-proto"] == proto
            assert said["x-forwarded-port"] == str(PROXY_PORT)
            assert "evil" not in text
    finally:
        world.remove(proxy)


def test_the_page_of_statistics_is_for_reading(world):
    proxy = world.start_haproxy()
    try:
        world.web("one")
        url = f"http://{world.address(proxy)}:8404/"
        rows = lambda: [row.split(",") for row in requests.get(f"{url};csv", timeout=5).text.splitlines()]  # noqa: E731
        up = lambda: [row[1] for row in rows() if row[0] == "web" and row[17].startswith("UP")]  # noqa: E731
        until(lambda: "web1" in up(), READY_TIMEOUT, "the copy")
        answer = requests.post(url, data={"s": "web1", "action": "maint", "b": "#3"}, timeout=5, allow_redirects=False)
        assert answer.status_code == 403 or "DENY" in answer.headers.get("Location", "")
        assert "web1" in up()
    finally:
        world.remove(proxy)


def test_an_address_of_before_that_is_haproxy_s_own_now_starts_no_loop(world):
    proxy = world.start_haproxy()
    try:
        world.web("one")
        load = Load(world.address(proxy))
        until(lambda: load.one()[0] == 200, READY_TIMEOUT, "the first answer")
        stale = {"ID": "stale", "Name": "web", "Address": world.address(proxy), "Port": PROXY_PORT}
        assert world.get("/v1/agent/service/register", "PUT", stale)
        url = f"http://{world.address(proxy)}:8404/;csv"
        rows = lambda: [row.split(",") for row in requests.get(url, timeout=5).text.splitlines()]  # noqa: E731
        web = lambda: {row[1]: row for row in rows() if row[0] == "web"}  # noqa: E731
        until(lambda: any(row[17].startswith("DOWN") for row in web().values()), READY_TIMEOUT, "its failed check")
        assert [load.one()[0] for _ in range(50)] == [200] * 50
        world.remove(world.docker.containers.get(f"{world.run}-one"))
        until(lambda: load.one()[0] == 503, READY_TIMEOUT, "no copy left")
        most = max(int(row[5] or 0) for row in rows() if row[1] in {"FRONTEND", "BACKEND"} or row[0] == "web")
        assert most < 50, f"{most} requests at a time went round"
    finally:
        world.get("/v1/agent/service/deregister/stale", "PUT")
        world.remove(proxy)


def test_many_requests_at_once_do_not_make_the_only_copy_look_dead(world):
    proxy = world.start_haproxy(at_once=1)
    try:
        world.web("busy", alone=True)
        url = f"http://{world.address(proxy)}:8404/;csv"
        rows = lambda: [row.split(",") for row in requests.get(url, timeout=5).text.splitlines()]  # noqa: E731
        up = lambda: any(row[0] == "web" and row[1] == "web1" and row[17].startswith("UP") for row in rows())  # noqa: E731
        until(up, READY_TIMEOUT, "the copy")
        load, crowd = Load(world.address(proxy), patience=120), 30
        with ThreadPoolExecutor(crowd) as threads:
            answers = [threads.submit(load.one, "/slow") for _ in range(crowd)]
            while not all(answer.done() for answer in answers):
                assert up(), "it was taken for dead"
                time.sleep(0.5)
        assert [answer.result()[0] for answer in answers] == [200] * crowd
    finally:
        world.remove(proxy)
