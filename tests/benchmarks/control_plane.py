"""What the local cloud's control plane takes of memory, and how soon its APIs answer ten clients at once.

The clients list servers, ports, networks and images, and ask for tokens, for MINUTES; then the memory of each container
is read as Docker counts it (without what the kernel may take back), before the work and after it.

Run: python tests/benchmarks/control_plane.py [MINUTES]     (default: 1)
Wants a local cloud that runs on one host. A hypervisor's containers are not of the control plane.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import docker
import openstack

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
    """Print both tables."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 1
    before = memory()
    took: dict[str, list[float]] = defaultdict(list)
    wrong: list[str] = []
    until = time.monotonic() + 60 * minutes
    clients = [threading.Thread(target=work, args=(until, took, wrong)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    print(f"{'ms, 10 clients':20}{'requests':>9}{'median':>9}{'p99':>9}")
    for name, times in took.items():
        cuts = statistics.quantiles(times, n=100)
        print(f"{name:20}{len(times):9}{cuts[49] * 1000:9.0f}{cuts[98] * 1000:9.0f}")
    print(f"{len(wrong)} refused {set(wrong) or ''}")
    after = memory()
    print(f"\n{'MiB':34}{'before':>8}{'after':>8}")
    for name in sorted(after, key=lambda one: -after[one]):
        print(f"{name:34}{before.get(name, 0):8.0f}{after[name]:8.0f}")
    print(f"{'control plane':34}{sum(before.values()):8.0f}{sum(after.values()):8.0f}")
    print(subprocess.run(["uptime"], capture_output=True, text=True, check=True).stdout.strip())


if __name__ == "__main__":
    main()
