"""A notebook's first cell and first job, against how they were before notebooks had shares, paths and own settings.

On a running cluster, in turn: the PySpark kernel as it is, and one with the startup file of an earlier commit, whose
executors are there from the beginning and stay. From the kernel's start to `sc`, and from there to the end of a first
job on every executor.

Run, in the folder of the cluster's file:  python tests/benchmarks/first_cell.py USER [PAIRS]
USER is a notebook user who has started a server before. Nobody else should compute meanwhile.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from statistics import median

from provision.base.constants import NODE

BEFORE = "85bcb13:templates/hub/startup.py"
"""The last version whose notebooks kept their cores."""
MEASURE = r"""
import json, os, sys, time
from pathlib import Path
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

startup, pairs = json.load(sys.stdin)
home = Path.home()
now = json.loads(Path(KernelSpecManager().get_kernel_spec("pyspark").resource_dir, "kernel.json").read_text())
folder = home / ".local/share/jupyter/kernels/before"
folder.mkdir(parents=True, exist_ok=True)
(folder / "startup.py").write_text(startup)
static = "--conf spark.dynamicAllocation.enabled=false --conf spark.cores.max=2 pyspark-shell"
arguments = now["env"]["PYSPARK_SUBMIT_ARGS"].replace("pyspark-shell", static)
before = now | {"env": now["env"] | {"PYTHONSTARTUP": str(folder / "startup.py"), "PYSPARK_SUBMIT_ARGS": arguments}}
(folder / "kernel.json").write_text(json.dumps(before))

def seconds(client, code):
    began = time.monotonic()
    answer = client.execute_interactive(code, timeout=1200, output_hook=lambda _: None)
    assert answer["content"]["status"] == "ok", answer["content"]
    return time.monotonic() - began

JOB = "assert sc.parallelize(range(8), 8).map(lambda n: n * n).sum() == 140"
for turn in range(pairs):
    for name in ("before", "pyspark") if turn % 2 else ("pyspark", "before"):
        began = time.monotonic()
        manager = KernelManager(kernel_name=name)
        manager.start_kernel(cwd=str(home))
        client = manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=600)
        seconds(client, "sc.version")
        cell = time.monotonic() - began
        print(json.dumps([name, cell, seconds(client, JOB)]), flush=True)
        client.stop_channels()
        manager.shutdown_kernel()
        time.sleep(20)
for file in folder.iterdir():
    file.unlink()
folder.rmdir()
"""


def main(user: str, pairs: int = 3) -> int:
    """Measure `pairs` of both and print the ratio of the medians; 1 if what is now takes a tenth longer."""
    checkout = Path(__file__).parents[2]
    startup = subprocess.run(["git", "show", BEFORE], cwd=checkout, capture_output=True, text=True, check=True).stdout
    # Where a user's notebooks are. Not by `sudo -i`: it loses the ends of lines.
    unit = f"sudo systemd-run --quiet --wait --pipe --uid={user} --slice=notebooks.slice"
    on_node = f"cd && {NODE.venv}/bin/python -c {shlex.quote(MEASURE)}"
    with subprocess.Popen(
        ["provision", "ssh", "--", f"{unit} sh -lc {shlex.quote(on_node)}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as measuring:  # fmt: skip
        assert measuring.stdin
        assert measuring.stdout
        measuring.stdin.write(json.dumps([startup, pairs]))
        measuring.stdin.close()
        found: dict[str, list[tuple[float, float]]] = {"pyspark": [], "before": []}
        for line in measuring.stdout:
            name, cell, job = json.loads(line)
            found[name].append((cell, job))
            print(f"{name:8} first cell {cell:6.1f} s, first job {job:6.1f} s", flush=True)
    if measuring.returncode:
        return 1
    worst = 0.0
    for index, what in enumerate(("first cell", "first job")):
        now, before = (median(times[index] for times in found[name]) for name in ("pyspark", "before"))
        worst = max(worst, now / before)
        print(f"{what}: {now:.1f} s against {before:.1f} s: {now / before:.2f} times")
    return int(worst > 1.1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
