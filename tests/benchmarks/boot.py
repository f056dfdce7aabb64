"""From a worker's kernel to its registration, and from a login to the first sum, against an earlier commit, in one run.

In turn, each version bakes its own golden image and makes the default cluster, alone on the cloud, and removes it. The
first time is that of the workers' own journals: from the kernel's start to Spark's line that it has registered with the
master. A master that is slower shows in it too: the nodes start together. The second is a user's, who has never logged
in, at a browser: from the Hub's form to the result of a notebook's first cell, the launcher's click in between.

Run:  python tests/benchmarks/boot.py COMMIT [PAIRS]
Wants a local cloud that runs and has no cluster, and Chromium; leaves the two golden images in it. Nobody else should
compute meanwhile. Ends with 1 when today's version takes a tenth longer.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import yaml
from openstack.config.loader import OpenStackConfig
from results import Chart, Result, Table, surroundings, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

CHECKOUT: Final = Path(__file__).parents[2]
CLOUD: Final = "boot"
"""The local cloud under another name: each version takes it for somebody else's, and changes none of its services."""
REGISTERED: Final = "sudo journalctl -b -u spark-worker -o short-monotonic --grep 'Successfully registered' -q"
SUM, SUM_IS = "sc.parallelize(range(1000)).sum()", "499500"
TIMES_AT_MOST: Final = 1.1


@dataclass(frozen=True)
class Boot:
    """What one cluster took, in seconds."""

    registered: tuple[float, ...]
    """Of each worker, since its kernel."""
    first_sum: float
    """Since the login."""

    def __str__(self) -> str:
        workers = ", ".join(f"{each:.1f}" for each in self.registered)
        return f"registered after {workers} s, first sum after {self.first_sum:.1f} s"


class Version:
    """One version of this project, with state of its own."""

    def __init__(self, name: str, source: Path, folder: Path) -> None:
        self.name, self.folder = name, folder / name
        self.folder.mkdir()
        spec = {"name": f"boot-{name}", "cloud": CLOUD, "hub": {"users": ["alice"]}}
        (self.folder / "cluster.yaml").write_text(yaml.safe_dump(spec))
        self.environment = os.environ | {
            "PYTHONPATH": str(source),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "OS_CLIENT_CONFIG_FILE": str(folder / "clouds.yaml"),
        }

    def run(self, *words: str) -> str:
        """Run `provision WORDS…` to its end and return what it printed. Raises CalledProcessError if it fails."""
        # -P: the folder where this is run must not hide that version.
        command = [sys.executable, "-P", "-m", "provision", *words]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def boot(self) -> Boot:
        """Make the cluster, look at it, and remove it."""
        try:
            self.run("up", "--yes")
            return look(self.run, f"boot-{self.name}", self.folder / "state")
        finally:
            self.run("down", "--yes")


def look(provision: Callable[..., str], cluster: str, state: Path) -> Boot:
    """Read from both workers of a cluster when they had registered, and be its first user, who has never logged in.

    `provision` runs a version's command; `state` is the folder of its state. Raises SystemExit if a worker does not
    say it, or the sum is wrong.
    """
    lines = [provision("ssh", f"{cluster}-worker-{number}", "--", REGISTERED) for number in (1, 2)]
    return Boot(tuple(map(registered, lines)), _first_sum(provision, cluster, state))


def _first_sum(provision: Callable[..., str], cluster: str, state: Path) -> float:
    # It is a module of another folder of tests.
    sys.path.insert(0, str(CHECKOUT / "tests" / "e2e"))
    import browser

    url = json.loads(provision("status", "--json"))["hub"]["url"]
    (file,) = state.glob(f"provision/**/{cluster}/passwords")
    user, password = file.read_text().splitlines()[0].split()
    with tempfile.TemporaryDirectory() as pictures, browser.user_at(url, Path(pictures)) as page:
        began = time.monotonic()
        browser.log_in(page, user, password)
        browser.open_pyspark(page)
        said = browser.run_cell(page, SUM)
        took = time.monotonic() - began
    if SUM_IS not in said:
        raise SystemExit(f"{SUM} is not {SUM_IS}: {said}")
    return took


def registered(line: str) -> float:
    """Return when, since its kernel's start, a worker's journal says that it had registered."""
    found = re.search(r"\[\s*([0-9.]+)\]", line)
    if not found:
        raise SystemExit(f"a worker's journal does not say when it had registered: {line!r}")
    return float(found[1])


def compete(versions: Sequence[Version], pairs: int) -> dict[str, list[Boot]]:
    """Boot `pairs` of clusters of each version, in turn."""
    found: dict[str, list[Boot]] = {version.name: [] for version in versions}
    for turn in range(pairs):
        for version in versions[:: -1 if turn % 2 else 1]:
            found[version.name].append(boot := version.boot())
            print(f"{version.name:6} {boot}", flush=True)
    return found


def medians(boots: Iterable[Boot]) -> dict[str, float]:
    """Return the middle of what the boots took, by what it is."""
    boots = list(boots)
    return {
        "from a worker's kernel to its registration": median(each for boot in boots for each in boot.registered),
        "from a user's first login to the first sum": median(boot.first_sum for boot in boots),
    }


def against(before: Mapping[str, float], now: Mapping[str, float]) -> Table:
    """Return a row for each thing that was timed, in seconds, and how many times that of before it is now."""
    rows = [[what, f"{old:.0f} s", f"{now[what]:.0f} s", f"{now[what] / old:.2f}"] for what, old in before.items()]
    return Table(["What", "Before", "Now", "Times"], rows)


def result(found: Mapping[str, Sequence[Boot]], commit: str, pairs: int, taken: Mapping[str, object]) -> Result:
    """Return what is kept."""
    before, now = medians(found["before"]), medians(found["now"])
    return Result(
        name="boot",
        title="A cluster's boot",
        order=16,
        text=f"The default cluster from its own golden image, against that of {commit}, in turn in one run on one "
        f"cloud{f'; medians of {pairs}' if pairs > 1 else ''}.",
        command=f"python tests/benchmarks/boot.py {commit} {pairs}",
        tables=(against(before, now),),
        charts=(Chart("seconds", "Before and now", "s", {"before": before, "now": now}),),
        taken=taken,
    )


def main(commit: str, pairs: int = 1) -> int:
    """Measure `pairs` of both, print and keep the medians and their ratios; 1 if one of these is too high."""
    taken = surroundings()
    local = OpenStackConfig(load_envvars=False, config_files=[os.environ["OS_CLIENT_CONFIG_FILE"]]).get_one("local")
    with tempfile.TemporaryDirectory() as folder:
        clouds = {"clouds": {CLOUD: {key: local.config[key] for key in ("auth", "region_name", "cacert")}}}
        clouds["clouds"][CLOUD]["auth"] = dict(local.config["auth"])
        Path(folder, "clouds.yaml").write_text(yaml.safe_dump(clouds))
        source = Path(folder, "source")
        source.mkdir()
        archive = subprocess.run(["git", "archive", commit], cwd=CHECKOUT, check=True, stdout=subprocess.PIPE).stdout
        subprocess.run(["tar", "x", "-C", str(source)], input=archive, check=True)
        versions = [Version("before", source, Path(folder)), Version("now", CHECKOUT, Path(folder))]
        found = compete(versions, pairs)
    before, now = medians(found["before"]), medians(found["now"])
    for what, old in before.items():
        print(f"{what}: {now[what]:.1f} s against {old:.1f} s: {now[what] / old:.2f} times")
    print(f"written: {write(result(found, commit, pairs, taken))}")
    return int(any(now[what] / old > TIMES_AT_MOST for what, old in before.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
