"""The local cloud from stopped: how soon each API answers, and how soon `provision cloud up` has ended.

It is stopped by `provision cloud down`, which keeps its data, and started TIMES times; an API answers from its first
answer below 400 on.

Run: python tests/benchmarks/restart.py [TIMES]     (default: 3)
Wants a local cloud that runs on one host, and no cluster on it: VMs would not be there after it. Nobody else should
compute meanwhile. Ends with 1 when the last API answers after more than 30 s.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from statistics import median

import openstack
import requests
from results import Result, Table, surroundings, write

from provision.base.constants import LOCAL_CLOUD
from provision.model.localcloud.settings import apis
from provision.operations.localcloud.shared.installation import load_settings

EVERY = 0.2
LONGEST = 600
SECONDS = 30.0
ENDED = "`provision cloud up` has ended, the hypervisor works"


def provision(*words: str) -> None:
    """Run a command of this installation; one that fails ends the program."""
    subprocess.run([sys.executable, "-P", "-m", "provision", *words], check=True)


def first_answer(url: str, verify: str | bool, began: float, found: dict[str, float]) -> None:
    """Note after how many seconds a URL answers below 400; nothing is noted when it never does."""
    while time.monotonic() - began < LONGEST:
        try:
            if requests.get(url, verify=verify, timeout=5, allow_redirects=False).status_code < 400:
                found[url] = time.monotonic() - began
                return
        except requests.RequestException:
            pass
        time.sleep(EVERY)


def start(urls: dict[str, str], verify: str | bool) -> dict[str, float]:
    """Stop the cloud and start it; return the seconds to each API and to the end."""
    provision("cloud", "down", "--yes")
    began, found = time.monotonic(), dict[str, float]()
    lookers = [threading.Thread(target=first_answer, args=(url, verify, began, found)) for url in urls.values()]
    for each in lookers:
        each.start()
    provision("cloud", "up")
    ended = time.monotonic() - began
    for each in lookers:
        each.join()
    if missing := [name for name, url in urls.items() if url not in found]:
        raise SystemExit(f"no answer from {', '.join(missing)} within {LONGEST} s")
    return {**{name: found[url] for name, url in urls.items()}, ENDED: ended}


def main() -> int:
    """Print and keep the medians; 1 when the last API is too late."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    taken, settings = surroundings(), load_settings()
    verify = openstack.connect(cloud=LOCAL_CLOUD).session.verify
    urls = {api.name: settings.public_url(api.port, api.health) for api in apis(settings) if api.awaited}
    runs = [start(urls, verify) for _ in range(times)]
    last = median(max(value for name, value in each.items() if name != ENDED) for each in runs)
    rows = [[name, f"{median(each[name] for each in runs):.0f} s"] for name in runs[0]]
    rows.insert(len(urls), ["**all APIs answer**", f"**{last:.0f} s**"])
    print(*(": ".join(row) for row in rows), sep="\n")
    written = write(
        Result(
            name="restart",
            title="The control plane from stopped",
            order=42,
            text="After `provision cloud down`, which keeps data, until each API answers below 400"
            + (f"; medians of {times}." if times > 1 else "."),
            command=f"python tests/benchmarks/restart.py {times}",
            tables=(Table(["What", "After"], rows),),
            taken=taken,
        )
    )
    print(f"written: {written}")
    return int(last > SECONDS)


if __name__ == "__main__":
    sys.exit(main())
