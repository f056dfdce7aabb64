"""How a node is, told again and again: load, memory, disk; on the master also Spark's and the Hub's own account.

What goes out is a line of JSON every few seconds. Root runs this: the Hub's token is for root only.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

HUB_EVERY = 15.0
"""Seconds between two questions to the Hub, which writes a line into its log for each."""
ANSWER = 10.0
"""Seconds that Spark and the Hub have for an answer."""
PAGE = 200
"""Users in one answer of the Hub's."""
USERS_AT_MOST = 2000
MIB = 1 << 20


def machine(root: str = "/") -> dict[str, Any]:
    """Return load averages, processors, and memory and disk in MiB; another root in tests only."""
    lines = (Path(root) / "proc/meminfo").read_text().splitlines()
    memory = {name: int(rest.split()[0]) >> 10 for name, _, rest in (line.partition(":") for line in lines) if rest}
    disk = os.statvfs(root)
    return {
        "load": [float(each) for each in (Path(root) / "proc/loadavg").read_text().split()[:3]],
        "processors": os.cpu_count() or 1,
        "memory": memory["MemTotal"],
        "memory_free": memory["MemAvailable"],
        "disk": disk.f_blocks * disk.f_frsize // MIB,
        "disk_free": disk.f_bavail * disk.f_frsize // MIB,
    }


def notebooks(cgroup: str) -> dict[str, int]:
    """Return the memory in MiB of each unit in the notebooks' control group."""
    found = {}
    for path in Path(cgroup).glob("*.service/memory.current"):
        with suppress(OSError, ValueError):  # it has ended
            found[path.parent.name.removesuffix(".service")] = int(path.read_text()) // MIB
    return found


def get(url: str, token: str = "") -> Any:  # noqa: ANN401 - JSON
    """Ask for a document of JSON."""
    request = urllib.request.Request(url, headers={"Authorization": f"token {token}"} if token else {})  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=ANSWER) as answer:
        return json.load(answer)


def spark(urls: list[str]) -> dict[str, Any]:
    """Return the Spark master's account of itself from the first address that answers; `error` says why none did."""
    why = ""
    for url in urls:
        try:
            state = get(url)
        except (OSError, HTTPException, ValueError) as error:
            why = str(error)
        else:
            return {key: state.get(key) for key in ("status", "workers", "activeapps")}
    return {"error": why}


def hub(url: str, token_file: str) -> dict[str, Any]:
    """Return the Hub's users; `error` says why there are none."""
    users: list[dict[str, Any]] = []
    try:
        token = Path(token_file).read_text().strip()
        while len(users) < USERS_AT_MOST:
            page = get(f"{url}/users?limit={PAGE}&offset={len(users)}", token)
            users += page
            if len(page) < PAGE:
                break
    except (OSError, HTTPException, ValueError) as error:
        return {"error": str(error)}
    keys = ("name", "admin", "last_activity")
    return {"users": [{key: user.get(key) for key in keys} | {"servers": servers(user)} for user in users]}


def servers(user: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a user's servers: whether each is ready, and since when it has been there."""
    return [
        {"ready": bool(each.get("ready")), "pending": each.get("pending"), "started": each.get("started")}
        for each in (user.get("servers") or {}).values()
    ]


def main(order: dict[str, Any], tell: Callable[[str], None] | None = None) -> int:
    """Tell every `every` seconds how this node is, until nobody reads it.

    On the master `order` also has `spark` (addresses), `notebooks` (their control group), and `hub` (address, and the
    file of its token).
    """
    said, heard = {}, float("-inf")
    while True:
        began = time.monotonic()
        vitals = machine()
        if order.get("spark"):
            vitals["spark"] = spark(order["spark"])
            vitals["notebooks"] = notebooks(order["notebooks"])
        if order.get("hub"):
            if began - heard >= HUB_EVERY:
                said, heard = hub(*order["hub"]), began
            vitals["hub"] = said
        try:
            (tell or _print)(json.dumps(vitals))
        except BrokenPipeError:
            # The other side is gone.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return 0
        time.sleep(max(order["every"] - (time.monotonic() - began), 0.1))


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
