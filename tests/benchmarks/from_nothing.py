"""`make up` from nothing to a notebook, against an earlier commit, in one run.

In turn, each version is a fresh clone that runs `make up` on a machine that has nothing of it, and then `make clean`:
no container, image, golden image, cache or Python environment stays. The system's packages do, for both.

Run:  python tests/benchmarks/from_nothing.py COMMIT [PAIRS]
REMOVES the local cloud that is there, with everything on it. Nobody else should compute meanwhile. Ends with 1 when
today's version takes longer than the earlier one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from results import Chart, Result, Table, surroundings, write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHECKOUT: Final = Path(__file__).parents[2]


def make(target: str, clone: Path) -> float:
    """Run a target of a clone's Makefile and return its seconds. Raises CalledProcessError if it fails."""
    # A Python environment that is active is another version's.
    environment = {key: value for key, value in os.environ.items() if key not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    began = time.monotonic()
    with (clone.parent / f"{clone.name}.log").open("a") as log:
        subprocess.run(["make", target], cwd=clone, env=environment, check=True, stdout=log, stderr=log)
    return time.monotonic() - began


def compete(clones: Mapping[str, Path], pairs: int) -> dict[str, list[float]]:
    """Run `pairs` of each clone, in turn; return the seconds of each."""
    found: dict[str, list[float]] = {name: [] for name in clones}
    for turn in range(pairs):
        for name in list(clones)[:: -1 if turn % 2 else 1]:
            try:
                found[name].append(took := make("up", clones[name]))
            finally:
                make("clean", clones[name])
            print(f"{name:6} {took / 60:.1f} min", flush=True)
    return found


def result(found: Mapping[str, Sequence[float]], commit: str, taken: Mapping[str, object]) -> Result:
    """Return what is kept."""
    before, now = (median(found[name]) for name in ("before", "now"))
    rows = [
        [f"`make up` of {words}", ", ".join(f"{took / 60:.1f}" for took in found[name]) + " min", f"{ratio:.2f}"]
        for name, words, ratio in (("before", commit, 1.0), ("now", "this version", now / before))
    ]
    return Result(
        name="from_nothing_against",
        title="`make up`, before and now",
        order=11,
        text="From nothing to a notebook and a first job, in turn in one run; the system's packages were there.",
        command=f"python tests/benchmarks/from_nothing.py {commit} {len(found['now'])}",
        tables=(Table(["What", "Time", "Times, of the medians"], rows),),
        charts=(Chart("minutes", "Medians", "min", {"minutes": {"before": before / 60, "now": now / 60}}),),
        taken=taken,
    )


def main(commit: str, pairs: int = 1) -> int:
    """Measure `pairs` of both, print and keep them; 1 if today's version takes longer."""
    taken = surroundings()
    with tempfile.TemporaryDirectory() as folder:
        clones = {name: Path(folder, name) for name in ("before", "now")}
        for name, wanted in zip(clones, (commit, "HEAD"), strict=True):
            subprocess.run(["git", "clone", "--quiet", str(CHECKOUT), str(clones[name])], check=True)
            subprocess.run(["git", "checkout", "--quiet", "--detach", wanted], cwd=clones[name], check=True)
        # What is there now goes too: by a version that is installed.
        for target in ("setup", "clean"):
            make(target, clones["now"])
        found = compete(clones, pairs)
    before, now = (median(found[name]) for name in ("before", "now"))
    print(f"from nothing: {now / 60:.1f} min against {before / 60:.1f} min: {now / before:.2f} times")
    print(f"written: {write(result(found, commit, taken))}")
    return int(now > before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
