"""Several users' notebooks at once, without a browser: the cluster's own PySpark kernel, beside the Hub's servers."""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from provision.base.constants import NODE, PORTS

from .conftest import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Product

PATIENCE: Final = 1500
"""Seconds for one point: five kernels that start at once on an emulated master need minutes."""
# Runs on the master as the user: each line of its input is a cell, or null for an interrupt; each line of its output is
# what the kernel showed.
_KERNEL: Final = r"""
import json, sys, threading
from jupyter_client.manager import KernelManager

manager = KernelManager(kernel_name="pyspark")
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=1500)

def show():
    while True:
        content = client.get_iopub_msg()["content"]
        shown = content.get("text") or content.get("data", {}).get("text/plain") or content.get("ename")
        if shown:
            print(json.dumps(shown), flush=True)

threading.Thread(target=show, daemon=True).start()
try:
    for line in sys.stdin:
        cell = json.loads(line)
        client.execute(cell) if cell else manager.interrupt_kernel()
finally:
    manager.shutdown_kernel(now=True)
"""


def bring_token(product: Product, user: str) -> None:
    """Have a user's executors run as the user, as the Hub does when it starts a server."""
    product.run("ssh", "--", f"sudo {NODE.user_token} {user}")


class Kernel:
    """A user's PySpark kernel; a context manager that shuts it down."""

    def __init__(self, product: Product, user: str) -> None:
        self.user = user
        self.shown: list[str] = []
        bring_token(product, user)
        # Among all users' notebooks, as the Hub's servers are.
        unit = f"sudo systemd-run --quiet --wait --pipe --uid={user} --slice=notebooks.slice"
        login = f"sh -lc {shlex.quote(f'cd && {NODE.venv}/bin/python -c {shlex.quote(_KERNEL)}')}"
        self._process = subprocess.Popen(
            [product.executable, "ssh", "--", f"{unit} {login}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=product.env,
            cwd=product.folder,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(300)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.shown.append(json.loads(line))
            say(f"  {self.user}: {self.shown[-1].strip()[:200]}")

    def run(self, code: str) -> None:
        """Run a cell; what it shows comes into `shown`."""
        self._send(code)

    def interrupt(self) -> None:
        """Interrupt the running cell, as the button of the toolbar does."""
        self._send(None)

    def _send(self, cell: str | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(cell) + "\n")
        self._process.stdin.flush()

    def has_shown(self, text: str) -> bool:
        """Say whether any output so far contains `text`."""
        return any(text in shown for shown in self.shown)


def held(product: Product) -> dict[str, list[int]]:
    """Return how many cores each application holds, by user, as Spark's master says it on its page."""
    address = "$(sed -n 's/SPARK_LOCAL_IP=//p' /run/spark/node.env)"
    asked = product.run("ssh", "--", f"curl -sS --max-time 120 http://{address}:{PORTS.spark_master_ui}/json/")
    state: dict[str, Any] = json.loads(asked.stdout)
    found: dict[str, list[int]] = {}
    for app in state["activeapps"]:
        found.setdefault(app["user"], []).append(app["cores"])
    return {user: sorted(cores) for user, cores in found.items()}


def until(what: str, holds: Callable[[], bool]) -> None:
    """Wait until a point holds, and say after how long. Raises AssertionError if it does not."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < PATIENCE, f"{what}: not within {PATIENCE} s"
        time.sleep(5)
    say(f"{what}: after {time.monotonic() - began:.0f} s")
