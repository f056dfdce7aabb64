"""What a notebook asks of its Spark: which executors it has, and what they did."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


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


def wait_for_executors(sc: Any, hosts: int, patience: float = 120) -> dict[str, str]:
    """Have executors on so many hosts, or as many as come: none for `patience` seconds is the end of it. Return them.

    Spark asks for executors when tasks wait, and gives back those without any: these tasks only wait.
    """
    found = executors(sc)
    ends = time.monotonic() + patience
    while len(set(found.values())) < hosts and time.monotonic() < ends:
        sc.parallelize(range(4 * hosts), 4 * hosts).foreach(lambda _: time.sleep(1))
        before, found = found, executors(sc)
        if found.keys() - before.keys():
            ends = time.monotonic() + patience
    return found


def hosts_expected(found: Mapping[str, str], tasks: int) -> int:
    """Return on how many hosts so many tasks of one job have to run, with these executors: two at the most.

    Not as many as there are workers: a user's limit of cores, and who else works, decide who gets executors where. And
    which executor gets a few tasks is chance.
    """
    return min(len(set(found.values())), 2) if tasks >= 4 * len(found) else 0


def _listed(sc: Any) -> list[Any]:
    found = sc._jsc.sc().statusStore().executorList(True).iterator()
    listed = []
    while found.hasNext():
        listed.append(found.next())
    return listed
