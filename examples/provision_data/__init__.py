"""Helpers of the examples: generators of their data, and what a notebook would only repeat.

Functions of this package may be used in what Spark sends to executors: they go along with it, so that nothing has to be
installed or shipped there.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

with suppress(ImportError):  # where there is no Spark nothing is sent
    from pyspark import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])


def workspace(example: str) -> Path:
    """Return the folder of an example's data, in the home of who runs it: all nodes see it."""
    folder = Path.home() / "examples-data" / example
    folder.mkdir(parents=True, exist_ok=True)
    return folder
