"""A program as a process of its own: its time, processor time, peak memory, and the HTTP requests that it has sent.

All Python processes that it starts count. Python imports `sitecustomize` before the program's first line: that one
counts in the standard library, beneath requests, urllib3 and whatever else.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CHECKOUT = Path(__file__).parents[2]
SITE = """
import atexit, http.client, os, re

def note(line):
    with open(os.environ["COUNTED"], "a") as file:
        file.write(line + "\\n")

send = http.client.HTTPConnection.putrequest

def counted(self, method, url, *arguments, **options):
    note(f"{method} {url}")
    return send(self, method, url, *arguments, **options)

http.client.HTTPConnection.putrequest = counted

@atexit.register
def memory():
    with open("/proc/self/status") as status:
        note("memory " + re.search(r"VmHWM:\\s+(\\d+)", status.read())[1])
"""
POLL = re.compile(r"GET \S*/servers(/|\?|$)|POST \S*/servers/[^/]+/action$")
"""What is asked again and again while servers are built: their list, one of them, or a console."""


@dataclass(frozen=True)
class Took:
    """What one run took."""

    seconds: float
    cpu: float
    """Seconds of processor time, of all its processes together."""
    memory: float
    """MB that the largest of its processes had at most."""
    requests: int
    polls: int
    """Those of the requests that looked whether servers are built."""

    @property
    def other(self) -> int:
        """Requests that are no polls."""
        return self.requests - self.polls


def read(lines: Iterable[str], seconds: float, cpu: float) -> Took:
    """Read what the processes of a run have noted."""
    memory, requests, polls = 0, 0, 0
    for line in lines:
        if line.startswith("memory "):
            memory = max(memory, int(line.split()[1]))
        elif line:
            requests += 1
            polls += bool(POLL.match(line))
    return Took(seconds, cpu, memory * 1024 / 1e6, requests, polls)


def middle(runs: Sequence[Took]) -> Took:
    """Return the median of each figure."""
    return Took(
        seconds=median(run.seconds for run in runs),
        cpu=median(run.cpu for run in runs),
        memory=median(run.memory for run in runs),
        requests=round(median(run.requests for run in runs)),
        polls=round(median(run.polls for run in runs)),
    )


def run(
    words: Sequence[str], *, folder: Path, environment: Mapping[str, str], codes: Iterable[int] = (0,)
) -> tuple[Took, str]:
    """Run a program in a folder, and return what it took and what it printed.

    Raises SystemExit if it ends with another code than those. What ends this process ends all of its processes.
    """
    with tempfile.TemporaryDirectory() as site:
        Path(site, "sitecustomize.py").write_text(SITE)
        notes, said = Path(site, "notes"), Path(site, "said")
        notes.touch()
        python_path = os.pathsep.join([site, str(CHECKOUT)])
        with said.open("wb") as output:
            began = time.monotonic()
            process = subprocess.Popen(
                words, cwd=folder, env={**environment, "PYTHONPATH": python_path, "COUNTED": str(notes)},
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                _, status, used = os.wait4(process.pid, 0)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise
            seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        text = said.read_text(errors="replace")
        if process.returncode not in codes:
            raise SystemExit(f"`{' '.join(words)[:200]}` ended with {process.returncode}:\n{text[-4000:]}")
        return read(notes.read_text().splitlines(), seconds, used.ru_utime + used.ru_stime), text
