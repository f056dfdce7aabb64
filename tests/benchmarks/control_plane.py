"""What the local cloud's control plane takes of memory, and how soon its APIs answer ten clients at once.

The clients list servers, ports, networks and images, and ask for tokens, for MINUTES; then the memory of each container
is read as Docker counts it (without what the kernel may take back), before the work and after it.

Run: python tests/benchmarks/control_plane.py [MINUTES]     (default: 1)
Wants a local cloud that runs on one host. A hypervisor's containers are not of the control plane.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import docker
import openstack
from results import Chart, Result, Table, surroundings, write

from provision.base.constants import LOCAL_CLOUD
from provision.model.localcloud.settings import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENTS = 10
MIB = 1 << 20


def memory() -> dict[str, float]:
    """Return the MiB of each container of the control plane."""
    client: Any = docker.from_env()  # type: ignore[attr-defined, unused-ignore]

    def of(container: Any) -> float:
        usage = container.stats(stream=False)["memory_stats"]
        return float(usage["usage"] - usage["stats"]["inactive_file"]) / MIB

    containers = client.containers.list(filters={"label": f"com.docker.compose.project={PROJECT}"})
    with ThreadPoolExecutor(len(containers)) as pool:
        return dict(zip([each.name for each in containers], pool.map(of, containers), strict=True))


def work(until: float, took: dict[str, list[float]], wrong: list[str]) -> None:
    """Be one client: a new connection, and one request after another."""
    cloud: Any = openstack.connect(LOCAL_CLOUD)
    asked: dict[str, Callable[[], Any]] = {
        "nova servers": lambda: cloud.compute.get("/servers/detail"),
        "neutron ports": lambda: cloud.network.get("/ports"),
        "neutron networks": lambda: cloud.network.get("/networks"),
        "glance images": lambda: cloud.image.get("/images"),
        "keystone token": lambda: cloud.session.auth.get_auth_ref(cloud.session),
    }
    while time.monotonic() < until:
        for name, ask in asked.items():
            began = time.monotonic()
            answer = ask()
            took[name].append(time.monotonic() - began)
            if getattr(answer, "status_code", 200) != 200:
                wrong.append(f"{name}: {answer.status_code}")


def main() -> None:
    """Measure, and write the result."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 1
    taken, before = surroundings(), memory()
    took: dict[str, list[float]] = defaultdict(list)
    wrong: list[str] = []
    until = time.monotonic() + 60 * minutes
    clients = [threading.Thread(target=work, args=(until, took, wrong)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    if wrong:
        raise SystemExit(f"{len(wrong)} requests were refused: {set(wrong)}")
    after = memory()
    cuts = {name: statistics.quantiles(times, n=100) for name, times in took.items()}
    largest = sorted(after, key=lambda one: -after[one])
    file = write(
        Result(
            name="control_plane",
            title="Control plane",
            order=41,
            text=f"{CLIENTS} clients, one request after another, for {minutes:g} min. Without the hypervisor.",
            command="python tests/benchmarks/control_plane.py",
            tables=(
                Table(
                    ["Memory", "Before", "After"],
                    [
                        *([name, f"{before.get(name, 0):.0f} MiB", f"{after[name]:.0f} MiB"] for name in largest),
                        ["**All of it**", *(f"**{sum(each.values()):.0f} MiB**" for each in (before, after))],
                    ],
                ),
                Table(
                    ["Request", "How many", "Median", "99th percentile"],
                    [
                        [name, str(len(took[name])), f"{each[49] * 1000:.0f} ms", f"{each[98] * 1000:.0f} ms"]
                        for name, each in cuts.items()
                    ],
                ),
            ),
            charts=(Chart("memory", "Memory after the work", "MiB", {"MiB": {one: after[one] for one in largest}}),),
            taken=taken,
        )
    )
    print(f"{sum(before.values()):.0f} MiB before, {sum(after.values()):.0f} MiB after; written: {file}")


if __name__ == "__main__":
    main()
