"""From a worker's kernel to a worker that has registered with its master, against an earlier commit, in one run.

In turn, each version bakes its own golden image and makes the default cluster, alone on the cloud, and removes it. The
time is that of the worker's own journal: from its kernel's start to Spark's line that it has registered. A master that
is slower shows in it too: the nodes start together.

Run:  python tests/benchmarks/boot.py COMMIT [PAIRS]
Wants a local cloud that runs and has no cluster; leaves the two golden images in it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import yaml
from openstack.config.loader import OpenStackConfig

CHECKOUT = Path(__file__).parents[2]
CLOUD = "boot"
"""The local cloud under another name: each version takes it for somebody else's, and changes none of its services."""
REGISTERED = "sudo journalctl -b -u spark-worker -o short-monotonic --grep 'Successfully registered' -q"


class Version:
    """One version of this project, with state of its own."""

    def __init__(self, name: str, source: Path, folder: Path) -> None:
        self.name, self.folder = name, folder / name
        self.folder.mkdir()
        (self.folder / "cluster.yaml").write_text(f"name: boot-{name}\ncloud: {CLOUD}\n")
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

    def seconds(self) -> list[float]:
        """Make the cluster, read from each worker when it had registered, and remove the cluster."""
        try:
            self.run("up", "--yes")
            lines = [self.run("ssh", f"boot-{self.name}-worker-{number}", "--", REGISTERED) for number in (1, 2)]
        finally:
            self.run("down", "--yes")
        return [float(re.search(r"\[\s*([0-9.]+)\]", line)[1]) for line in lines]  # type: ignore[index]


def main(commit: str, pairs: int = 1) -> int:
    """Measure `pairs` of both and print the ratio of the medians; 1 if today's version takes a tenth longer."""
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
        found: dict[str, list[float]] = {version.name: [] for version in versions}
        for turn in range(pairs):
            for version in versions[:: -1 if turn % 2 else 1]:
                taken = version.seconds()
                found[version.name] += taken
                print(f"{version.name:6} " + ", ".join(f"{seconds:.1f} s" for seconds in taken), flush=True)
    now, before = median(found["now"]), median(found["before"])
    print(f"boot to registered: {now:.1f} s against {before:.1f} s: {now / before:.2f} times")
    return int(now / before > 1.1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
