"""The parallel examples with one worker, with two, and so on to all that a cluster has, in one run.

Spark's worker is stopped on the others, and started again at the end. Each example says itself how long its parallel
part took; the smallest of ROUNDS is taken, and how many times as fast as with one worker that is.

Run, in the folder of the cluster's file:  python tests/benchmarks/speedup.py [EXAMPLE…]     (default: all that can run)
    --rounds N (3)     --as USER (alice)     -p NAME=VALUE, as for `provision examples run`
Wants a cluster that works, with nothing else to do. Workers that are emulated on fewer processors than they have
together cannot be faster than these: the last line says how many there are.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PARALLEL = {
    "popular-topics": r"tweets in ([\d.]+) s: ",
    "trading-backtest": r"tries in ([\d.]+) s",
    "weather-forecast": r"stations in ([\d.]+) s, by",
}
"""What an example says of its parallel part."""
UNIT = "spark-worker"


def provision(*words: str, codes: tuple[int, ...] = (0,)) -> str:
    """Run a command of this installation; one that ends with another code ends the program."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "provision", *words], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode not in codes:
        raise SystemExit(f"provision {' '.join(words)} ended with {done.returncode}")
    return done.stdout


def state() -> dict[str, Any]:
    """Return what `status` says; 1 is its code where a worker is away."""
    found: dict[str, Any] = json.loads(provision("status", "--json", codes=(0, 1)))
    return found


def only(workers: list[str], count: int) -> None:
    """Have Spark run on the first `count` of these workers alone."""
    for number, name in enumerate(workers):
        provision("ssh", name, "--", f"sudo systemctl {'start' if number < count else 'stop'} {UNIT}")
    until = time.monotonic() + 600
    while (alive := state()["spark"]["workers_alive"]) != count:
        if time.monotonic() > until:
            raise SystemExit(f"the Spark master has {alive} workers, not {count}, after ten minutes")
        time.sleep(5)


def seconds(example: str, options: argparse.Namespace, folder: Path) -> float:
    """Run an example, and return what its parallel part took."""
    given = [word for each in options.parameter for word in ("-p", each)]
    provision("examples", "run", example, "--as", options.user, "-o", str(folder), *given)
    found = re.search(PARALLEL[example], (folder / f"{example}.html").read_text(encoding="utf-8"))
    if not found:
        raise SystemExit(f"{example} does not say how long its parallel part took")
    return float(found[1])


def main() -> None:
    """Print a line for each example and number of workers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("examples", nargs="*", choices=[*PARALLEL, []], default=list(PARALLEL))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--as", dest="user", default="alice")
    parser.add_argument("-p", dest="parameter", action="append", default=[])
    options = parser.parse_args()
    workers = [node["name"] for node in state()["nodes"] if node["role"] == "worker"]
    alone: dict[str, float] = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            for count in range(1, len(workers) + 1):
                only(workers, count)
                for example in options.examples:
                    took = min(seconds(example, options, Path(folder)) for _ in range(options.rounds))
                    alone.setdefault(example, took)
                    print(f"{example:18} {count} workers {took:8.1f} s {alone[example] / took:6.2f} times", flush=True)
    finally:
        only(workers, len(workers))
    load = os.getloadavg()[0]
    print(f"{len(os.sched_getaffinity(0))} processors in this machine, load {load:.1f}")


if __name__ == "__main__":
    main()
