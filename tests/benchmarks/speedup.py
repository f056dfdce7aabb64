"""The parallel examples with one worker, with two, and so on to all that a cluster has, in one run.

Spark's worker is stopped on the others, and started again at the end. Each example says itself how long its parallel
part took; the smallest of ROUNDS is taken, and how many times as fast as with one worker that is.

Run, in the folder of the cluster's file:  python tests/benchmarks/speedup.py [EXAMPLE…]     (default: all that can run)
    --rounds N (3)     --as USER (alice)     -p NAME=VALUE, as for `provision examples run`
    --cores N: what Spark uses of each worker (default: all); the rest of its processors then runs the JVM's own work
    -o FOLDER: keep the examples' pages of the last round with all workers
Wants a cluster that works, with nothing else to do, and whose spec lets a user have all of its cores
(`spark.user_cores`): by default a quarter is kept for others. Workers that are emulated on fewer processors than they
have together cannot be faster than these.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from results import Chart, Result, Table, surroundings, write

PARALLEL = {
    "popular-topics": r"tweets in ([\d.]+) s: ",
    "trading-backtest": r"tries in ([\d.]+) s",
    "weather-forecast": r"stations in ([\d.]+) s, by",
}
"""What an example says of its parallel part."""
UNIT = "spark-worker"
DROP_IN = f"/run/systemd/system/{UNIT}.service.d"
CORES = "/run/spark-worker-cores"
"""Read behind the node's own settings; gone after a reboot, and removed at the end."""
LIMIT = "sudo sed -n 's/^spark.provision.userCores //p' /etc/spark/spark-defaults.conf"
"""Prints the cores that a user may have; 0: a quarter of them is kept for others."""


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


def refuse_a_limit(found: dict[str, Any], cores: int) -> None:
    """Stop where a user may not have all cores of this cluster, of which each worker offers `cores` (0: all)."""
    wanted = cores * sum(node["role"] == "worker" for node in found["nodes"]) or found["spark"]["cores"]
    master = next(node["name"] for node in found["nodes"] if node["role"] == "master")
    if int(provision("ssh", master, "--", LIMIT)) < wanted:
        raise SystemExit(
            f"write `spark: {{user_cores: {wanted}}}` into the cluster's file, and run `provision up` first"
        )


def only(workers: list[str], count: int) -> None:
    """Have Spark run on the first `count` of these workers alone."""
    for number, name in enumerate(workers):
        provision("ssh", name, "--", f"sudo systemctl {'start' if number < count else 'stop'} {UNIT}")
    until = time.monotonic() + 600
    while (alive := state()["spark"]["workers_alive"]) != count:
        if time.monotonic() > until:
            raise SystemExit(f"the Spark master has {alive} workers, not {count}, after ten minutes")
        time.sleep(5)


def offer(workers: list[str], cores: int) -> None:
    """Have each of these workers offer so many cores; 0: as many as its settings say."""
    there = (
        f"sudo mkdir -p {DROP_IN} && echo SPARK_WORKER_CORES={cores} | sudo tee {CORES} && "
        f"printf '[Service]\\nEnvironmentFile={CORES}\\n' | sudo tee {DROP_IN}/cores.conf"
        if cores
        else f"sudo rm -rf {DROP_IN} {CORES}"
    )
    for name in workers:
        provision("ssh", name, "--", f"{there} && sudo systemctl daemon-reload && sudo systemctl stop {UNIT}")


def seconds(example: str, options: argparse.Namespace, folder: Path) -> float:
    """Run an example, and return what its parallel part took."""
    given = [word for each in options.parameter for word in ("-p", each)]
    provision("examples", "run", example, "--as", options.user, "-o", str(folder), *given)
    found = re.search(PARALLEL[example], (folder / f"{example}.html").read_text(encoding="utf-8"))
    if not found:
        raise SystemExit(f"{example} does not say how long its parallel part took")
    return float(found[1])


def command(options: argparse.Namespace) -> str:
    """Return what repeats this; where pages are kept is left out."""
    chosen = () if options.examples == list(PARALLEL) else options.examples
    words = ["python", "tests/benchmarks/speedup.py", *chosen, "--rounds", str(options.rounds)]
    words += ["--cores", str(options.cores)] if options.cores else []
    return shlex.join(words + [word for each in options.parameter for word in ("-p", each)])


def main() -> None:
    """Print a line for each example and number of workers, and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("examples", nargs="*", choices=[*PARALLEL, []], default=list(PARALLEL))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--as", dest="user", default="alice")
    parser.add_argument("-p", dest="parameter", action="append", default=[])
    parser.add_argument("--cores", type=int, default=0)
    parser.add_argument("-o", dest="output", type=Path)
    options = parser.parse_args()
    found = state()
    refuse_a_limit(found, options.cores)
    workers = [node["name"] for node in found["nodes"] if node["role"] == "worker"]
    offered = f", each of which offers {options.cores} of its cores" if options.cores else ""
    taken, took = surroundings(), {example: dict[str, float]() for example in options.examples}
    try:
        if options.cores:
            offer(workers, options.cores)
        with tempfile.TemporaryDirectory() as folder:
            for count in range(1, len(workers) + 1):
                only(workers, count)
                for example in options.examples:
                    best = min(seconds(example, options, Path(folder)) for _ in range(options.rounds))
                    took[example][str(count)] = best
                    print(f"{example:18} {count} workers {best:8.1f} s", flush=True)
            if options.output:
                shutil.copytree(folder, options.output, dirs_exist_ok=True)
    finally:
        if options.cores:
            offer(workers, 0)
        only(workers, len(workers))
    times = {example: {count: each["1"] / best for count, best in each.items()} for example, each in took.items()}
    rows = [
        [f"`{example}`", count, f"{took[example][count]:.1f} s", f"{faster:.2f}"]
        for example, each in times.items()
        for count, faster in each.items()
    ]
    file = write(
        Result(
            name="speedup",
            title="More workers",
            order=32,
            text="The parallel part of each example, as it says itself: the best of "
            f"{options.rounds} with each number of workers{offered}. Workers that are emulated on fewer processors "
            "than they have together cannot be faster than these.",
            command=command(options),
            tables=(Table(["Example", "Workers", "Time", "Times as fast as one"], rows),),
            charts=(Chart("times", "Times as fast as with one worker", "times", times),),
            taken=taken,
        )
    )
    print(f"written: {file}")


if __name__ == "__main__":
    main()
