"""HAProxy with backends from a real Consul: copies come and go, nothing is reloaded, no read fails."""

from __future__ import annotations

import time

import pytest

from .world import PATIENCE, Load, until

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
        until(lambda: load.one()[0] == 200, PATIENCE, "the first answer")
        workers = processes(proxy)
        with load.running():
            two, began = world.web("two"), time.monotonic()
            until(lambda: load.since(began)["two"], PATIENCE, "the new copy's first request")
            first = next(when for when, who in load.answers if who == "two") - began
            three = world.web("three")
            until(lambda: load.since(began)["three"], PATIENCE)
            two.kill()
            killed = time.monotonic()
            time.sleep(3)
            three.pause()
            paused = time.monotonic()
            time.sleep(3)
            # What was under way is answered now: nobody has cut it off.
            unpaused = time.monotonic()
            three.unpause()
            until(lambda: load.since(unpaused + 0.5)["three"], PATIENCE, "the unpaused copy's first request")
        print(f"new copy's first request after {first:.2f} s; dead one's last after {load.last('two') - killed:.2f} s")
        assert load.since(killed + 1)["two"] == 0
        assert not [when for when, who in load.answers if who == "three" and paused + 0.1 < when < unpaused]
        assert load.since(paused)["one"] > 10
        assert not load.failures
        assert processes(proxy) == workers, "HAProxy was reloaded"
        until(lambda: world.passing("haproxy"), PATIENCE, "HAProxy in the catalogue")
    finally:
        world.remove(proxy)


def test_haproxy_lives_through_consul_s_absence(world):
    proxy = world.start_haproxy()
    consul = world.docker.containers.get(f"{world.run}-consul")
    try:
        world.web("one")
        load = Load(world.address(proxy))
        until(lambda: load.one()[0] == 200, PATIENCE, "the first answer")
        with load.running():
            consul.kill()
            time.sleep(4)
            consul.start()
            until(lambda: world.get("/v1/status/leader"), PATIENCE)
            time.sleep(3)
        assert not load.failures
        assert len(load.answers) > 50
    finally:
        world.remove(proxy)
