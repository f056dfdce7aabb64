"""Run the benchmarks that harm nothing, those that need no cloud first, and make the page of measured figures anew.

What needs a cluster is run where cluster.yaml is in this folder and `provision status` finds it working; what needs the
local cloud, where `provision cloud status` does. What cannot be run is said, and its figures stay as they are.

Run: python tests/benchmarks/bench.py [NAME…]     (default: all of them). Nobody else should compute meanwhile.
Ends with 1 when one has failed, or found something that is not as it should be.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HERE = Path(__file__).parent
CLUSTER, LOCAL_CLOUD = "a cluster that works, of the cluster.yaml in this folder", "a local cloud that runs"


@dataclass(frozen=True)
class Benchmark:
    """One program, what it is given, and what has to be there."""

    name: str
    options: tuple[str, ...] = ()
    needs: str = ""


BENCHMARKS = (
    Benchmark("ingest"),
    Benchmark("nothing", ("3",), CLUSTER),
    Benchmark("control_plane", ("1",), LOCAL_CLOUD),
    Benchmark("speedup", ("--rounds", "1"), CLUSTER),
    Benchmark("many", ("20", "100", "1000"), LOCAL_CLOUD),
)


def chosen(names: Sequence[str]) -> list[Benchmark]:
    """Return the benchmarks of these names, or all. Raises SystemExit for an unknown one."""
    known = {each.name for each in BENCHMARKS}
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"unknown: {', '.join(unknown)}. There are: {', '.join(each.name for each in BENCHMARKS)}")
    return [each for each in BENCHMARKS if not names or each.name in names]


def run_all(
    benchmarks: Sequence[Benchmark], there: Mapping[str, Callable[[], bool]], run: Callable[[Benchmark], int]
) -> tuple[list[str], list[str]]:
    """Run those whose needs are there; return who failed, and who was left out and why."""
    failed, left_out = [], []
    for each in benchmarks:
        if each.needs and not there[each.needs]():
            left_out.append(f"{each.name}: it needs {each.needs}")
        elif run(each):
            failed.append(each.name)
    return failed, left_out


def _ends_well(*words: str) -> bool:
    argv = [sys.executable, "-m", "provision", *words]
    return subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def _run(benchmark: Benchmark) -> int:
    print(f"== {benchmark.name} {' '.join(benchmark.options)}", flush=True)
    argv = [sys.executable, str(HERE / f"{benchmark.name}.py"), *benchmark.options]
    return subprocess.run(argv, check=False).returncode


def main() -> int:
    """Run them, then make the page."""
    there = {
        CLUSTER: lambda: Path("cluster.yaml").exists() and _ends_well("status"),
        LOCAL_CLOUD: lambda: _ends_well("cloud", "status"),
    }
    failed, left_out = run_all(chosen(sys.argv[1:]), there, _run)
    print(*(f"left out, {each}" for each in left_out), *(f"FAILED: {each}" for each in failed), sep="\n")
    drawn = subprocess.run([sys.executable, str(HERE / "page.py")], check=False).returncode
    return int(bool(failed or drawn))


if __name__ == "__main__":
    sys.exit(main())
