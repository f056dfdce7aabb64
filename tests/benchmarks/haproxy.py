"""How soon a new copy of a service gets its first request through HAProxy, and a killed one its last.

Run: python tests/benchmarks/haproxy.py [TIMES]     (default: 10), at 20 requests per second throughout.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))
from world import Load, World, ensure_catalogue_images, until


def measure(world, load, number):
    """Add a copy and kill it; return the seconds from its start, from its health, and until its last answer."""
    name = f"copy-{number}"
    began = time.monotonic()
    copy = world.web(name)
    address = world.address(copy)
    until(lambda: address in world.passing("web"), 20)
    healthy = time.monotonic()
    until(lambda: load.last(name), 20, "its first request")
    first = min(when for when, who in load.answers if who == name)
    time.sleep(1)
    killed = time.monotonic()
    copy.kill()
    time.sleep(3)
    slowest = max((took for when, took in load.times if killed - 0.1 < when), default=0)
    world.remove(copy)
    return first - began, max(0, first - healthy), max(0, load.last(name) - killed), slowest


def main():
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as folder:
        world = World(ensure_catalogue_images(), Path(folder))
        try:
            world.start_consul()
            world.start_registrator()
            proxy = world.start_haproxy()
            world.web("always")
            load = Load(world.address(proxy))
            until(lambda: load.one()[0] == 200, 20)
            with load.running():
                results = [measure(world, load, number) for number in range(times)]
            labels = (
                "container start to first request, s",
                "healthy in Consul to first request, s",
                "kill to last answer, s",
                "slowest request in the 3 s after a kill, s",
            )
            for label, values in zip(labels, zip(*results, strict=True), strict=True):
                figures = {"min": min(values), "median": statistics.median(values), "max": max(values)}
                print(json.dumps({label: {key: round(value, 2) for key, value in figures.items()}}))
            print(json.dumps({"requests": len(load.answers), "failed": len(load.failures)}))
        finally:
            world.close()


if __name__ == "__main__":
    main()
