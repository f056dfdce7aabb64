"""Two ways of an answer to disk, each in a process of its own: how much memory it takes, and how long."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import requests

from provision_data.stream import save


@dataclass(frozen=True)
class Measured:
    """What one way took. Memory is what of the process was in the machine's memory (RSS), in bytes."""

    idle: int
    """Before it asks for anything: Python and what it imports."""
    peak: int
    seconds: float

    @property
    def taken(self) -> int:
        """Return what the answer took of the memory."""
        return self.peak - self.idle


def at_once(url: str, path: Path) -> None:
    """Take the whole answer into memory, decode it, and write it."""
    answer = requests.get(url, timeout=600).json()
    with gzip.open(path, "wt", compresslevel=3) as file:
        json.dump(answer, file)


def as_it_comes(url: str, path: Path) -> None:
    """Write the answer while it arrives, and look for the next page's number in it."""
    save(url, path, field="paging.next")


WAYS: Final = {way.__name__: way for way in (at_once, as_it_comes)}


def measure(way: str, url: str, path: Path) -> Measured:
    """Let a process of its own do it. Raises subprocess.CalledProcessError, with what it printed."""
    here = str(Path(__file__).parents[1])
    command = [sys.executable, "-m", "provision_data.ingest", way, url, str(path)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": here}, stdout=subprocess.PIPE, text=True, check=True
    )
    return Measured(**json.loads(done.stdout))


def _memory(field: str) -> int:
    # Of this program alone: what getrusage says may be the peak of the process that it was forked from.
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1_024
    raise LookupError(field)


def main() -> None:
    """Do what the arguments say, and print what it took as JSON."""
    way, url, path = sys.argv[1:]
    idle, began = _memory("VmRSS"), time.monotonic()
    WAYS[way](url, Path(path))
    print(json.dumps(asdict(Measured(idle, _memory("VmHWM"), time.monotonic() - began))))


if __name__ == "__main__":
    main()
