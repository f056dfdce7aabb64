"""Helpers of the examples: generators of their data, and what a notebook would only repeat.

Functions of this package may be used in what Spark sends to executors: they go along with it, so that nothing has to be
installed or shipped there.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

with suppress(ImportError):  # where there is no Spark nothing is sent
    from pyspark import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])


# A job's last tasks may write once more.
_REMOVE: Final = 'trap "" HUP INT TERM; read _; rm -rf -- "$1"; sleep 5; rm -rf -- "$1"'
_removers: Final[list[subprocess.Popen[bytes]]] = []
"""What waits for the end of this process: that of the pipes which these objects hold."""


def at_home(path: str) -> Path:
    """Return a path as its user means it: `~`, and what is no whole path, is in the home, wherever the kernel runs."""
    return Path.home() / Path(path).expanduser()


def workspace(example: str, above: str = "examples-data") -> Path:
    """Make a folder for the data of one run, and have it removed when this process ends, however it does.

    It has a name of its own: two runs of one user are in nobody's way. `above` is in the home of who runs it, unless
    it is a whole path: all nodes see a home, and /shared.
    """
    place = at_home(above)
    place.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{example}-", dir=place))
    # mkdtemp's is its owner's alone; what is in /shared others may read.
    folder.chmod(0o755)
    # Not by atexit: a kernel is killed by Ctrl-C of `provision examples run`, and where it takes too much memory. In a
    # process group of its own, since ipykernel kills the kernel's.
    _removers.append(
        subprocess.Popen(
            ["/bin/sh", "-c", _REMOVE, "remover", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
    )
    return folder
