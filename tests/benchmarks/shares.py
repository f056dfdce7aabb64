"""Users share a Spark cluster on this machine: a real master, two workers of two cores, and a driver for each notebook.

Three users at once get their shares; an idle notebook holds no core after its time-out and computes again when asked; a
user with four notebooks does not lock another one out; a notebook that waits says who holds the cores.

Run:  python tests/benchmarks/shares.py PYTHON     (a Python with pyspark, numpy and ipykernel as in software.yaml)
Takes minutes: each driver and each executor is a JVM. Ends with 1 when one of the points does not hold.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.base.model import ClusterSpec, Flavor, WorkersSpec
from provision.base.paths import TEMPLATES
from provision.model.cluster.example import documents

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 900
"""Seconds for each point; a busy machine starts a JVM in a minute."""
LIGHT = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# What runs in each driver: jobs as they come on its standard input, `tasks seconds`.
DRIVER = """
import importlib.util, sys, time
spec = importlib.util.spec_from_file_location("shares", sys.argv[1])
shares = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shares)
from pyspark.sql import SparkSession
spark = SparkSession.builder.config("spark.cores.max", shares.ALL_CORES).getOrCreate()
shares.watch(spark)
print("ready", flush=True)
for line in sys.stdin:
    tasks, seconds = int(line.split()[0]), float(line.split()[1])
    numbers = spark.sparkContext.parallelize(range(tasks), tasks)
    print("sum", numbers.map(lambda n: (time.sleep(seconds), n)[1]).sum(), flush=True)
spark.stop()
"""


def free_port() -> int:
    """Return a port of the loopback address that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Bed:
    """The cluster, with the settings that nodes get but for addresses and time-outs; a context manager."""

    def __init__(self, python: str, folder: Path) -> None:
        self.python, self.folder = python, folder
        asked = [python, "-c", "import os, pyspark; print(os.path.dirname(pyspark.__file__))"]
        self.home = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
        self.port, self.page = free_port(), free_port()
        self.started: list[subprocess.Popen[str]] = []
        self.environment = os.environ | {
            "SPARK_HOME": str(self.home),
            "SPARK_CONF_DIR": str(folder / "conf"),
            "SPARK_SCALA_VERSION": "2.13",
            "PYSPARK_PYTHON": python,
        }
        self.began = time.monotonic()

    def __enter__(self) -> Bed:
        (self.folder / "conf").mkdir()
        (self.folder / "shares").mkdir()
        (self.folder / "conf" / "spark-defaults.conf").write_text(self._settings())
        deploy = "org.apache.spark.deploy"
        self._daemon(f"{deploy}.master.Master", "127.0.0.1", "--port", str(self.port), "--webui-port", str(self.page))
        for number in (2, 3):
            offers = ["--cores", "2", "--memory", "1536m", "--webui-port", str(free_port())]
            offers += ["--work-dir", str(self.folder / f"work-{number}"), f"spark://127.0.0.1:{self.port}"]
            self._daemon(f"{deploy}.worker.Worker", f"127.0.0.{number}", *offers)
        self.until("two workers", lambda: self.state()["aliveworkers"] == 2)
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.started):
            process.terminate()
        for process in self.started:
            process.wait(60)

    def _settings(self) -> str:
        spec = ClusterSpec("a", workers=WorkersSpec(2))
        made = documents(spec, "cluster.yaml", (Flavor("m1.small", 2, 2048, 8),))
        own = {
            "spark.master": f"spark://127.0.0.1:{self.port}",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.port": "0",
            "spark.driver.blockManager.port": "0",
            "spark.blockManager.port": "0",
            "spark.ui.enabled": "false",
            "spark.eventLog.enabled": "false",
            "spark.local.dir": str(self.folder),
            "spark.executor.extraJavaOptions": LIGHT,
            "spark.executor.memory": "512m",
            "spark.dynamicAllocation.executorIdleTimeout": "20s",
            "spark.dynamicAllocation.shuffleTracking.timeout": "20s",
            "spark.provision.shares": str(self.folder / "shares"),
            "spark.provision.masterUi": f"http://127.0.0.1:{self.page}",
        }
        return made["master/spark-defaults.conf"] + "".join(f"{key} {value}\n" for key, value in own.items())

    def _daemon(self, name: str, host: str, *arguments: str) -> None:
        path = f"{self.folder / 'conf'}:{self.home / 'jars'}/*"
        command = ["java", "-cp", path, "-Xmx256m", *LIGHT.split(), name, "--host", host, *arguments]
        log = (self.folder / f"{host}-{name.rpartition('.')[2]}.log").open("w")
        environment = self.environment | {"SPARK_LOCAL_IP": host}
        self.started.append(subprocess.Popen(command, stdout=log, stderr=log, text=True, env=environment))

    def state(self) -> dict[str, Any]:
        """Return what the master knows; nothing while it starts."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.page}/json/", timeout=60) as answer:
                state: dict[str, Any] = json.load(answer)
        except (OSError, ValueError):
            return {"aliveworkers": 0, "activeapps": [], "coresused": 0}
        return state

    def held(self) -> dict[str, int]:
        """Return how many cores each user holds."""
        held: dict[str, int] = {}
        for app in self.state()["activeapps"]:
            held[app["user"]] = held.get(app["user"], 0) + app["cores"]
        return held

    def until(self, what: str, holds: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Wait until a point holds, and print after how long. Raises SystemExit if it does not."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > patience:
                raise SystemExit(f"{what}: not within {patience} s; cores held: {self.held()}")
            time.sleep(1)
        now = time.monotonic()
        print(f"{now - self.began:6.0f} s: {what} (after {now - began:.0f} s; {self.held()})", flush=True)


class Notebook:
    """A driver that a user's kernel would have; `lines` is what it printed."""

    def __init__(self, bed: Bed, user: str) -> None:
        environment = bed.environment | {
            # The master takes the name from the JVM.
            "PYSPARK_SUBMIT_ARGS": f'--driver-java-options "-Duser.name={user} {LIGHT}" pyspark-shell'
        }
        self.log = (bed.folder / f"{user}-{len(bed.started)}.log").open("w")
        self.process = subprocess.Popen(
            [bed.python, "-c", DRIVER, str(TEMPLATES / "hub/kernel/shares.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=environment,
        )
        bed.started.append(self.process)
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def compute(self, tasks: int, seconds: float = 1) -> None:
        """Begin a job of so many tasks, each of which takes so long."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{tasks} {seconds}\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """End its driver, whatever it computes."""
        self.process.terminate()
        self.process.wait(60)


def main() -> None:
    """Try the points one after the other."""
    with tempfile.TemporaryDirectory() as folder, Bed(sys.argv[1], Path(folder)) as bed:
        users = ["alice", "bob", "carol"]
        alice, bob, carol = notebooks = [Notebook(bed, user) for user in users]
        bed.until("three notebooks are ready", lambda: all("ready" in each.lines for each in notebooks))
        alice.compute(100_000)
        bed.until("alice has what her limit allows, three of four", lambda: bed.held().get("alice") == 3)
        bob.compute(100_000)
        bed.until("bob has his half", lambda: bed.held() == {"alice": 2, "bob": 2, "carol": 0})
        carol.compute(20)
        bed.until("each has a share", lambda: sorted(bed.held().values()) == [1, 1, 2])
        bed.until("carol's job ends", lambda: any(line.startswith("sum 190") for line in carol.lines))
        bed.until("carol's idle notebook holds nothing", lambda: bed.held()["carol"] == 0, 300)
        carol.compute(2)
        bed.until("and computes again", lambda: "sum 1" in carol.lines)
        bob.end()
        carol.end()
        more = [Notebook(bed, "alice") for _ in range(3)]
        for each in more:
            each.compute(100_000)
        bed.until("alice's four notebooks hold three together", lambda: _counts(bed, "alice") == [0, 1, 1, 1])
        dave = Notebook(bed, "dave")
        dave.compute(100_000)
        bed.until("dave has his half beside alice's four", lambda: bed.held() == {"alice": 2, "dave": 2})
        bed.until("a notebook of alice's has said what it waits for", lambda: _said(alice, *more))
        print(*sorted({line for each in [alice, *more] for line in each.lines if "Waiting" in line}), sep="\n")


def _counts(bed: Bed, user: str) -> list[int]:
    return sorted(app["cores"] for app in bed.state()["activeapps"] if app["user"] == user)


def _said(*notebooks: Notebook) -> bool:
    return any(line.startswith("Waiting for cores: ") for each in notebooks for line in each.lines)


if __name__ == "__main__":
    main()
