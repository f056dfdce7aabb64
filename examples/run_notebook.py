"""Run a notebook with its own kernel, and write it with its outputs as an HTML page to stdout.

    python run_notebook.py NOTEBOOK.ipynb > page.html

Each cell's time goes to stderr, and so does the error of a cell that fails: then the page ends with that cell, and the
exit code is 1. `--parameters '{"NAME": VALUE}'` sets variables behind the cell with the tag `parameters`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter
from traitlets.config import Config


def say(line: str) -> None:
    """Print a line at once, for who waits."""
    print(line, file=sys.stderr, flush=True)


class Clock:
    """Says what each cell took."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.began = 0.0

    def start(self, **_: object) -> None:
        """Begin with a cell."""
        self.began = time.monotonic()

    def stop(self, cell_index: int, **_: object) -> None:
        """Say how long it took."""
        say(f"cell {cell_index + 1} of {self.count}: {time.monotonic() - self.began:.1f} s")


def give(notebook: nbformat.NotebookNode, parameters: dict[str, object]) -> None:
    """Add a cell that sets variables, behind the one with their defaults."""
    tagged = [place for place, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ())]
    cell = nbformat.v4.new_code_cell("\n".join(f"{name} = {value!r}" for name, value in parameters.items()))
    cell.metadata["tags"] = ["injected-parameters"]
    notebook.cells.insert(tagged[0] + 1, cell)


def main() -> int:
    """Run the notebook that the arguments name; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--parameters", type=json.loads, default={}, help="names and values, as JSON")
    options = parser.parse_args()
    # What the kernel's programs print by themselves must not get into the page.
    with (
        os.fdopen(os.dup(1), "w", encoding="utf-8") as page,
        tempfile.TemporaryDirectory(prefix="kernel-") as sockets,
    ):
        os.dup2(2, 1)
        notebook = nbformat.read(options.notebook, as_version=4)
        if options.parameters:
            give(notebook, options.parameters)
        # Spark's own start takes minutes where the processor is emulated; how long a cell takes is the user's business.
        clock = Clock(len(notebook.cells))
        client = NotebookClient(
            notebook,
            timeout=None,
            startup_timeout=900,
            # Sockets of this user alone, instead of ports: of those the kernel warns, since they are not encrypted.
            # Its JVM ends the record of what it did (Spark's history), which takes time.
            config=Config(
                KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel", "shutdown_wait_time": 90},
            ),
            resources={"metadata": {"path": str(options.notebook.parent)}},
            on_cell_execute=clock.start,
            on_cell_executed=clock.stop,
        )
        code = 0
        try:
            client.execute()
        except (CellExecutionError, RuntimeError) as error:
            say(re.sub(r"\x1b\[[0-9;]*m", "", str(error)))
            code = 1
        # The page asks no other machine for anything.
        exporter = HTMLExporter(mathjax_url="", require_js_url="", mermaid_js_url="", jquery_url="")
        body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": options.notebook.stem}})
        page.write(body)
    return code


if __name__ == "__main__":
    sys.exit(main())
