"""The line below a cell for each stage that runs: what it says, when it is written, and when it is not."""

from __future__ import annotations

import importlib.util
import sys
import threading
from types import SimpleNamespace

import pytest

from provision.base.paths import TEMPLATES

_spec = importlib.util.spec_from_file_location(
    "progress", TEMPLATES / "image/files/usr/local/share/jupyter/kernels/pyspark/progress.py"
)
assert _spec is not None
assert _spec.loader is not None
progress = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(progress)
Stage = progress.Stage


def stage(done, number=3, total=20, active=2, failed=0, name="sum at <cell>:1"):
    return Stage(number, name, total, done, active, failed)


def test_a_stage_says_how_far_it_is():
    bar = progress.Bar()
    bar.show([stage(2)], 1.0)
    assert bar.text == "sum at <cell>:1: 2 of 20 tasks, 2 running"
    bar.show([stage(12, failed=1)], 6.0)
    assert bar.text == "sum at <cell>:1: 12 of 20 tasks, 2 running, 1 failed, 2 a second"
    assert '<progress value="12" max="20">' in bar.html
    # A stage's name is the user's own text.
    assert "sum at &lt;cell&gt;:1" in bar.html


def test_many_stages_are_counted():
    bar = progress.Bar()
    bar.show([stage(0, number) for number in range(4)], 1.0, more=3)
    assert bar.text.splitlines()[-1] == "and 3 more stages"
    assert bar.html.count("<progress") == 4


def test_the_end_is_one_line():
    bar = progress.Bar()
    bar.show([stage(2)], 1.0)
    bar.show([stage(0, 4, total=1)], 5.0)
    bar.end(12.4)
    assert bar.text == "Spark: 2 stages, 12 s"
    assert "<progress" not in bar.html


def test_spark_is_asked_for_stages_with_names_that_people_know(monkeypatch):
    names = {1: "sum at /tmp/ipykernel_19150/3931605748.py:5", 2: "showString at NativeMethodAccessorImpl.java:0", 9: None}

    class Tracker:
        def getActiveStageIds(self):  # noqa: N802 - PySpark's name
            return [1, 2, 9, 10, 11, 12]

        def getStageInfo(self, number):  # noqa: N802 - PySpark's name
            if names.get(number) is None:
                return None
            return SimpleNamespace(
                name=names[number], numTasks=8, numCompletedTasks=3, numActiveTasks=2, numFailedTasks=1
            )

    context = SimpleNamespace(_jsc=object(), statusTracker=Tracker)
    monkeypatch.setitem(
        sys.modules, "pyspark", SimpleNamespace(SparkContext=SimpleNamespace(_active_spark_context=context))
    )
    assert progress._running() == (
        [Stage(1, "sum, line 5", 8, 3, 2, 1), Stage(2, "showString at NativeMethodAccessorImpl.java:0", 8, 3, 2, 1)],
        2,
    )
    # A context that has been stopped.
    context._jsc = None
    assert progress._running() == ([], 0)


class Play:
    """A cell whose stages are a script: what runs at each look; it ends with the script."""

    def __init__(self, *looks, took=0.0):
        self.looks, self.took = list(looks), took
        self.now, self.pauses, self.shown = 1.0, [], []
        self.cell = progress.Cell({}, clock=lambda: self.now)
        self.cell.began = 0.0
        self.cell.ended = self
        progress.follow(self.cell, self.running, lambda bar, update: self.shown.append((bar.text, update)))

    def running(self):
        self.now += self.took
        look = self.looks.pop(0)
        if isinstance(look, Exception):
            raise look
        return look, 0

    def wait(self, pause):
        self.pauses.append(pause)
        self.now += pause
        return not self.looks


def test_a_cell_without_stages_shows_nothing():
    assert Play([], []).shown == []


def test_the_display_is_made_once_and_written_when_something_changes():
    play = Play([], [stage(1)], [stage(1)], [stage(2)], [])
    assert [update for _, update in play.shown] == [False, True, True]
    assert play.shown[-1][0] == "Spark: 1 stage, 6 s"


def test_a_context_that_ends_is_no_trouble():
    play = Play([stage(1)], RuntimeError("the JVM has gone"))
    assert play.shown[-1][0].startswith("Spark: 1 stage")


def test_a_slow_machine_is_asked_less_often():
    assert Play([stage(1)], [stage(2)], took=0.01).pauses == [1.0, 1.0]
    assert Play([stage(1)], took=0.2).pauses == [pytest.approx(4.0)]
    assert Play([stage(1)], took=60).pauses == [progress.LONGEST_PERIOD]


def test_a_long_cell_is_written_less_often():
    play = Play(*([stage(done)] for done in range(300)))
    # Nearly half an hour.
    assert play.now > 1500
    assert max(play.pauses) == progress.LONGEST_PERIOD


class Shell:
    """An IPython shell of a kernel."""

    def __init__(self):
        self.kernel = self.display_pub = self.events = self
        self.hooks, self.magics, self.published = {}, {}, []
        self.first, self.done = threading.Event(), threading.Event()

    def register(self, name, function):
        self.hooks[name] = function

    def register_magic_function(self, function, _kind, name):
        self.magics[name] = function

    def get_parent(self, _channel):
        return {"header": {"msg_id": "cell-1"}}

    def set_thread_parent(self, parent):
        self.parent = parent

    def publish(self, data, transient, update):
        self.published.append((data["text/plain"], transient["display_id"], update))
        (self.done if data["text/plain"].startswith("Spark: ") else self.first).set()


@pytest.fixture
def shell(monkeypatch):
    made = Shell()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: made))
    monkeypatch.setattr(progress, "FIRST", 0.05)
    monkeypatch.setattr(progress, "PERIOD", 0.05)
    monkeypatch.setattr(progress._State, "cells", progress.queue.SimpleQueue())
    monkeypatch.setattr(progress, "_running", lambda: ([stage(1)], 0))
    progress.watch(SimpleNamespace(sparkContext=None))
    yield made
    # The thread of this test waits for ever, as it does in a kernel; the next test starts its own.
    for thread in threading.enumerate():
        if thread.name == "progress":
            thread.name = "progress of a test"


def test_a_cells_display_is_its_own_and_ends_with_it(shell):
    progress.begin(shell)
    assert shell.first.wait(30)
    shell.hooks["post_run_cell"](None)
    assert shell.done.wait(30)
    (first, display, _), *_, (last, same, updated) = shell.published
    assert (first, display) == ("sum at <cell>:1: 1 of 20 tasks, 2 running", same)
    assert (last, updated) == ("Spark: 1 stage, 0 s", True)
    assert shell.parent == {"header": {"msg_id": "cell-1"}}


def test_a_quick_cell_asks_nothing(shell, monkeypatch):
    monkeypatch.setattr(progress, "FIRST", 30)
    progress.begin(shell)
    shell.hooks["post_run_cell"](None)
    shell.hooks["post_run_cell"](None)
    assert shell.published == []


def test_cells_of_two_threads_end_each_for_itself(shell, monkeypatch):
    monkeypatch.setattr(progress, "FIRST", 30)
    progress.begin(shell)
    mine = progress._own.cell

    def subshell():
        progress.begin(shell)
        shell.hooks["post_run_cell"](None)

    thread = threading.Thread(target=subshell)
    thread.start()
    thread.join()
    assert not mine.ended.is_set()
    shell.hooks["post_run_cell"](None)
    assert mine.ended.is_set(), "it would be followed for ever, and no other cell"


def test_it_can_be_turned_off(shell, capsys):
    off = shell.magics["spark_progress"]
    off("")
    assert "is on" in capsys.readouterr().out
    off("off")
    progress.begin(shell)
    assert progress._own.cell is None
    off(" On ")
    assert progress._State.on
    assert shell.published == []
