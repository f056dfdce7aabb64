"""`make up` from nothing, a worker's boot, and a login to the first sum, against an earlier commit, in one run.

In turn, each version is a fresh clone that runs `make up` on a machine that has nothing of it; its workers and its Hub
are looked at as boot.py does; then `make clean`: no container, image, golden image, cache or Python environment stays.
The system's packages do, for both.

Run:  python tests/benchmarks/from_nothing.py COMMIT [PAIRS]
REMOVES the local cloud that is there, with everything on it. Wants Chromium. Nobody else should compute meanwhile. Ends
with 1 when today's version takes longer than the earlier one for any of it.
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

import boot
from results import Chart, Result, surroundings, write

from provision.base.paths import state_dir
from provision.clusterfile.loading import DEFAULT_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

UP: Final = "`make up`, from nothing to a first job"
CHECKOUT: Final = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    """Return this one without a Python environment that is active: it is another version's."""
    return {key: value for key, value in os.environ.items() if key not in {"VIRTUAL_ENV", "PYTHONPATH"}}


def make(target: str, clone: Path) -> float:
    """Run a target of a clone's Makefile and return its seconds. Raises CalledProcessError if it fails."""
    began = time.monotonic()
    with (clone.parent / f"{clone.name}.log").open("a") as log:
        subprocess.run(["make", target], cwd=clone, env=environment(), check=True, stdout=log, stderr=log)
    return time.monotonic() - began


def provision(clone: Path) -> Callable[..., str]:
    """Return what runs `provision WORDS…` of a clone to its end and returns what it printed, where its cluster is."""

    def run(*words: str) -> str:
        command = [str(clone / ".venv" / "bin" / "provision"), *words]
        return subprocess.run(
            command, cwd=clone, env=environment(), check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    return run


def compete(clones: Mapping[str, Path], pairs: int) -> dict[str, list[dict[str, float]]]:
    """Run `pairs` of each clone, in turn; return the seconds of each thing that was timed, for each run of each."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in clones}
    for turn in range(pairs):
        for name in list(clones)[:: -1 if turn % 2 else 1]:
            clone = clones[name]
            try:
                took = {UP: make("up", clone)}
                seen = boot.look(provision(clone), DEFAULT_NAME, state_dir().parent)
            finally:
                make("clean", clone)
            found[name].append(took | boot.medians([seen]))
            print(f"{name:6} make up {took[UP]:.0f} s, {seen}", flush=True)
    return found


def medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the middle of what the runs took, by what was timed."""
    return {what: median(run[what] for run in runs) for what in runs[0]}


def result(found: Mapping[str, Sequence[Mapping[str, float]]], commit: str, taken: Mapping[str, object]) -> Result:
    """Return what is kept."""
    before, now = medians(found["before"]), medians(found["now"])
    pairs = len(found["now"])
    each = {name: ", ".join(f"{run[UP]:.0f}" for run in runs) for name, runs in found.items()}
    return Result(
        name="from_nothing_against",
        title="From nothing, before and now",
        order=11,
        text=f"{commit} and this version in turn, in one run{f'; medians of {pairs}' if pairs > 1 else ''}. `make up` "
        f"took {each['before']} s and {each['now']} s. The system's packages were there.",
        command=f"python tests/benchmarks/from_nothing.py {commit} {pairs}",
        tables=(boot.against(before, now),),
        charts=(Chart("seconds", "Before and now", "s", {"before": before, "now": now}),),
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
    before, now = medians(found["before"]), medians(found["now"])
    for what, old in before.items():
        print(f"{what}: {now[what]:.1f} s against {old:.1f} s: {now[what] / old:.2f} times")
    print(f"written: {write(result(found, commit, taken))}")
    return int(any(now[what] > old for what, old in before.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
