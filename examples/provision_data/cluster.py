"""What a notebook asks of its Spark: which executors it has, and what they did."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any


def executors(sc: Any) -> dict[str, str]:
    """Return the executors that are registered: their ids and hosts. With `local[…]` there are none."""
    return {each.id(): each.hostPort().rpartition(":")[0] for each in _listed(sc) if each.id() != "driver"}


def completed_tasks(sc: Any) -> dict[str, int]:
    """Return how many tasks each executor has completed, by id; where there are none, the driver's."""
    return {each.id(): each.completedTasks() for each in _listed(sc) if each.id() != "driver" or each.totalCores()}


def workers(sc: Any) -> int:
    """Return how many workers the Spark master has; 0 where there is none to be asked, as with `local[…]`."""
    page = sc.getConf().get("spark.provision.masterUi", "")
    if not page or not sc.master.startswith("spark://"):
        return 0
    # No proxy of the environment: the master is this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{page}/json/", timeout=60) as answer:
        return sum(worker["state"] == "ALIVE" for worker in json.load(answer)["workers"])


def wait_for_executors(sc: Any, hosts: int, patience: float = 300) -> dict[str, str]:
    """Wait until there are executors on so many hosts, or for `patience` seconds; return those that are there."""
    ends = time.monotonic() + patience
    while len(set(executors(sc).values())) < hosts and time.monotonic() < ends:
        time.sleep(0.5)
    return executors(sc)


def _listed(sc: Any) -> list[Any]:
    found = sc._jsc.sc().statusStore().executorList(True).iterator()
    listed = []
    while found.hasNext():
        listed.append(found.next())
    return listed
