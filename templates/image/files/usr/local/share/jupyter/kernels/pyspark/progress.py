"""A line below a cell for each stage that runs: how many of its tasks are done (a module of the kernel, session.py).

There is one display for a cell, and it is written anew: a saved notebook has its last state alone, one short line. A
cell that ends soon, or in which Spark does nothing, has none, and costs no question to the JVM.

`%spark_progress off` turns it off in a notebook, and SPARK_PROGRESS=off in the kernel's environment from the start.
"""

import os
import queue
import re
import sys
import threading
import time
from html import escape
from typing import NamedTuple

FIRST = 1.0
"""Seconds that a cell runs before Spark is asked."""
PERIOD, LONGEST_PERIOD = 1.0, 10.0
"""Seconds between two looks: at first, and in a cell that runs for long."""
SHARE = 20
"""A look may take one part in so many of the time between two."""
SHOWN = 4
"""Stages that have a line; the others are counted."""


_OF_A_CELL = re.compile(r" at \S*/ipykernel_\d+/\d+\.py:(\d+)$")
"""Where a stage's name says its line: a cell's is in a file that nobody knows."""


class Stage(NamedTuple):
    """What Spark says of a running stage."""

    id: int
    name: str
    total: int
    done: int
    active: int
    failed: int


class Bar:
    """What is shown of one cell: `text` and `html` are None as long as there is nothing to show."""

    def __init__(self):
        self.since = {}
        """When each stage that was shown was seen first, and how many of its tasks were done then."""
        self.text = self.html = None

    def show(self, stages, seconds, more=0):
        """Take the running stages, `seconds` after the cell's start, and `more` of which nothing is known but that."""
        for stage in stages:
            self.since.setdefault(stage.id, (seconds, stage.done))
        if not stages:
            return
        lines = [self._line(stage, seconds) for stage in stages]
        rest = f"and {more} more stage{'s' if more > 1 else ''}" if more else ""
        self.text = "\n".join([*(f"{stage.name}: {line}" for stage, line in zip(stages, lines)), *([rest] if rest else [])])
        rows = [
            f'<tr><td style="text-align: left">{escape(stage.name)}</td>'
            f'<td><progress value="{stage.done}" max="{max(stage.total, 1)}"></progress></td>'
            f'<td style="text-align: left">{line}</td></tr>'
            for stage, line in zip(stages, lines)
        ]
        self.html = f"<table>{''.join(rows)}</table>{rest}"

    def _line(self, stage, seconds):
        began, before = self.since[stage.id]
        words = [f"{stage.done} of {stage.total} tasks"]
        if stage.active:
            words.append(f"{stage.active} running")
        if stage.failed:
            words.append(f"{stage.failed} failed")
        if stage.done > before and seconds > began:
            words.append(f"{(stage.done - before) / (seconds - began):.2g} a second")
        return ", ".join(words)

    def end(self, seconds):
        """Say what has been, in one short line."""
        count = len(self.since)
        self.text = f"Spark: {count} stage{'s' if count > 1 else ''}, {seconds:.0f} s"
        self.html = f'<small style="opacity: 0.6">{self.text}</small>'


class Cell:
    """A cell that runs: the message that it came with, and when it began."""

    def __init__(self, parent, clock=time.monotonic):
        self.parent = parent
        self.clock = clock
        self.began = clock()
        self.ended = threading.Event()

    @property
    def seconds(self):
        """How long it has been running."""
        return self.clock() - self.began


class _State:
    on = os.environ.get("SPARK_PROGRESS", "on").lower() not in ("off", "0", "no", "false")
    cells = queue.SimpleQueue()
    context = None
    """The classic SparkContext of the session that was given last: in Connect's kernel none is active."""


class _Own(threading.local):
    """What each thread that runs cells has of its own: a subshell's cells run beside those of the notebook."""

    cell = None


_own = _Own()


def watch(spark):
    """Take the session's SparkContext, and start the thread, once in a kernel (a hook of session.py)."""
    from IPython import get_ipython

    shell = get_ipython()
    _State.context = spark.sparkContext
    # A front-end shows displays; a terminal's would be lines.
    if not hasattr(shell, "kernel") or any(thread.name == "progress" for thread in threading.enumerate()):
        return
    shell.events.register("post_run_cell", _end)
    shell.register_magic_function(_magic, "line", "spark_progress")
    threading.Thread(target=_run, args=(shell.display_pub,), name="progress", daemon=True).start()


def begin(shell):
    """Note that a cell begins; session.py calls it, for the first cell too, which has waited for its session."""
    if _State.on:
        _own.cell = Cell(shell.kernel.get_parent("shell"))
        _State.cells.put(_own.cell)


def _end(*_):
    if _own.cell is not None:
        _own.cell.ended.set()
        _own.cell = None


def _magic(line):
    """Say `%spark_progress on` or `off`: whether the stages of the next cells are shown."""
    word = line.strip().lower()
    if word not in ("on", "off"):
        print(f"The progress of Spark's stages is {'on' if _State.on else 'off'}: %spark_progress on, or off.")
        return
    _State.on = word == "on"


def _run(publisher):
    while True:
        cell = _State.cells.get()
        if not cell.ended.wait(FIRST):
            try:
                follow(cell, _running, lambda bar, update: _publish(publisher, cell, bar, update))
            except Exception as error:
                # Into the Hub's log: it must not end, and nobody waits for it.
                print(f"progress: {error!r}", file=sys.__stderr__, flush=True)


def follow(cell, running, publish):
    """Show a cell's stages until it ends. `running` returns those that run, and how many more there are.

    `publish(bar, update)` shows the bar, for the first time or anew.
    """
    bar, shown, pause = Bar(), None, PERIOD
    while True:
        began = cell.clock()
        bar.show(*_ask(running, cell))
        if bar.text != shown:
            publish(bar, shown is not None)
            shown = bar.text
        took = cell.clock() - began
        pause = min(max(PERIOD, cell.seconds / 60, SHARE * took), LONGEST_PERIOD)
        if cell.ended.wait(pause):
            break
    if shown is not None:
        bar.end(cell.seconds)
        publish(bar, True)


def _ask(running, cell):
    try:
        stages, more = running()
    except Exception:
        # A context that is being made or stopped; the cell itself says what is wrong.
        stages, more = [], 0
    return stages, cell.seconds, more


def _running():
    from pyspark import SparkContext

    context = SparkContext._active_spark_context or _State.context
    if getattr(context, "_jsc", None) is None:
        return [], 0
    tracker = context.statusTracker()
    found = tracker.getActiveStageIds()
    stages = []
    for number in found[:SHOWN]:
        info = tracker.getStageInfo(number)
        if info is not None:
            done, active, failed = info.numCompletedTasks, info.numActiveTasks, info.numFailedTasks
            name = _OF_A_CELL.sub(r", line \1", info.name)
            stages.append(Stage(number, name, info.numTasks, done, active, failed))
    return stages, max(len(found) - SHOWN, 0)


def _publish(publisher, cell, bar, update):
    # This thread was not started by a cell: without a parent its output would belong to none.
    publisher.set_thread_parent(cell.parent)
    data = {"text/plain": bar.text, "text/html": bar.html}
    publisher.publish(data, transient={"display_id": f"spark-progress-{id(cell)}"}, update=update)
