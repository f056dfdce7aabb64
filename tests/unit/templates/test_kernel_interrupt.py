"""What Stop does in a PySpark notebook (templates/hub/kernel/session.py), before stand-ins of PySpark and the JVM."""

import asyncio
import os
import signal
import sys
import threading
import time
import types

import pytest


class Collection(list):
    """One of Scala's."""

    def contains(self, item):
        return item in self


class Context:
    """A SparkContext: its jobs by number, each with its tag and its group, and what was cancelled."""

    def __init__(self):
        self.jobs, self.cancelled, self.tags = {}, [], []
        self._jsc = self

    def addJobTag(self, tag):  # noqa: N802 - Spark's name
        self.tags.append((threading.current_thread().name, tag))

    def removeJobTag(self, tag):  # noqa: N802 - Spark's name
        self.tags.remove((threading.current_thread().name, tag))

    def statusTracker(self):  # noqa: N802 - Spark's name
        return self

    def getActiveJobsIds(self):  # noqa: N802 - Spark's name
        return [*self.jobs]

    def statusStore(self):  # noqa: N802 - Spark's name
        return self

    def job(self, number):
        tags, group = (Collection([each]) for each in self.jobs[number])
        return types.SimpleNamespace(jobTags=lambda: tags, jobGroup=lambda: group)

    def sc(self):
        return self

    def cancelJob(self, job):  # noqa: N802 - Spark's name
        self.cancelled.append(job)
        del self.jobs[job]

    def cancelAllJobs(self):  # noqa: N802 - Spark's name
        self.cancelled.append("all")
        self.jobs.clear()


class Client:
    """A client of Spark Connect: its tags, and the operations that the server interrupts."""

    def __init__(self):
        self.tags, self.running = set(), {}

    def addTag(self, tag):  # noqa: N802 - Spark's name
        self.tags.add(tag)

    def removeTag(self, tag):  # noqa: N802 - Spark's name
        self.tags.discard(tag)

    def interruptTag(self, tag):  # noqa: N802 - Spark's name
        return self.running.pop(tag, [])


@pytest.fixture
def session(kernel, monkeypatch):
    """session.py in a notebook's cell; `waiting` calls a function as py4j does, which waits for the JVM."""
    context = Context()
    sql = types.SimpleNamespace(SparkSession=types.SimpleNamespace(_instantiatedSession=None))
    spark = types.SimpleNamespace(SparkContext=types.SimpleNamespace(_active_spark_context=context, _gateway=None), sql=sql)
    ipython = types.SimpleNamespace(get_ipython=None, clear_output=None)
    for name, module in (("IPython", ipython), ("IPython.display", ipython), ("pyspark", spark)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "pyspark.sql", sql)
    module = kernel("session")
    monkeypatch.setattr(module, "HOOKS", [])
    late, own_late = [], module._cancel_late
    monkeypatch.setattr(module, "_cancel_late", lambda *given: late.append(given[1:]))
    names = {}
    exec(compile("def waiting(do): return do()", "/x/site-packages/py4j/clientserver.py", "exec"), names)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield types.SimpleNamespace(module=module, context=context, sql=sql, waiting=names["waiting"], late=late,
        own_late=own_late)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def press():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)


def streams(session, *active):
    session.sql.SparkSession._instantiatedSession = types.SimpleNamespace(streams=types.SimpleNamespace(active=active))


def test_a_cell_that_waits_for_its_job_ends_with_sparks_words(session):
    session.module._obey()
    session.context.jobs = {1: ("cell-1", None)}
    session.waiting(press)
    assert session.context.cancelled == ["all"]


def test_the_second_press_interrupts_a_loop_that_goes_on_with_the_next_job(session):
    session.module._obey()
    for number in (2, 3):
        session.module._obey()
        session.context.jobs = {1: (f"cell-{number}", None)}
        session.waiting(press)
        session.context.jobs = {2: (f"cell-{number}", None)}
        with pytest.raises(KeyboardInterrupt):
            session.waiting(press)
        # Its job is cancelled when Python has left it.
        assert session.late.pop() == (f"cell-{number}", 1)
    assert session.context.cancelled == ["all"] * 2


def test_a_cell_of_python_is_interrupted_while_another_thread_has_a_job(session):
    session.module._obey()
    session.context.jobs = {1: (None, None)}
    with pytest.raises(KeyboardInterrupt):
        press()


def test_a_stream_goes_on_while_a_cell_is_stopped(session):
    streams(session, types.SimpleNamespace(runId="run-1"))
    session.module._obey()
    # The stream was begun in this cell: its jobs have the cell's tag.
    session.context.jobs = {1: ("cell-1", "run-1"), 2: ("cell-1", None), 3: ("the user's", None)}
    session.waiting(press)
    assert session.context.cancelled == [2]
    session.module._obey()
    with pytest.raises(KeyboardInterrupt):
        session.waiting(press)
    assert session.context.cancelled == [2]


@pytest.fixture
def late(session, kernel, monkeypatch):
    """The own `_cancel_late`, for which a second is none, and the session ends with the third look."""
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 2:
            session.context.jobs = {1: ("cell-3", None), 2: ("cell-4", None), 3: ("cell-3", "run-1")}
        if len(looks) == 3:
            session.context._jsc = None

    monkeypatch.setattr(session.module, "time", types.SimpleNamespace(sleep=sleep, monotonic=lambda: 0))
    monkeypatch.setattr(session.module, "LATE", 600)
    return session.own_late


def test_a_job_that_begins_after_its_cell_was_interrupted_is_cancelled(session, late):
    late(session.context, "cell-3")
    assert session.context.cancelled == [1, 3]


def test_a_stream_goes_on_after_its_cell_was_interrupted(session, late):
    streams(session, types.SimpleNamespace(runId="run-1"))
    late(session.context, "cell-3")
    assert session.context.cancelled == [1]


def test_the_users_own_tags_stay(session):
    session.context.addJobTag("the user's")
    for _ in range(3):
        session.module._tag()
    assert [tag for _, tag in session.context.tags] == ["the user's", "cell-3"]


def test_a_cell_that_awaits_is_cancelled_as_ipykernel_does(session):
    async def cell():
        loop, future = asyncio.get_running_loop(), asyncio.current_task()
        # ipykernel's own handler for such a cell: it tells the loop, and does not wake it.
        signal.signal(signal.SIGINT, lambda *_: loop.call_soon(future.cancel))
        session.module._obey()
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        await asyncio.sleep(60)

    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cell())
    assert time.monotonic() - began < 30


def test_nothing_is_asked_of_a_jvm_that_has_ended(session, kernel, monkeypatch):
    monkeypatch.setattr(kernel("launch"), "ended", lambda: -9)
    monkeypatch.setattr(session.module, "_cancel", None)
    session.module._obey()
    with pytest.raises(KeyboardInterrupt):
        session.waiting(press)


def test_a_cell_that_runs_another_is_interrupted(session):
    session.module._obey()
    session.module._obey()
    with pytest.raises(KeyboardInterrupt):
        press()


def test_a_subshells_cells_have_tags_of_their_own_and_no_signals(session, capsys):
    session.module._obey()

    def subshell():
        session.module._obey()
        session.module._obey()

    thread = threading.Thread(target=subshell, name="subshell")
    thread.start()
    thread.join()
    session.module._obey()
    assert session.context.tags == [("subshell", "cell-3"), ("MainThread", "cell-4")]
    assert capsys.readouterr().err == ""


def test_connects_server_interrupts_what_the_cell_began(session, kernel, monkeypatch):
    monkeypatch.setattr(session.module, "CONNECT", True)
    session.module._obey()
    client = kernel("connect")._Server.client = Client()
    session.module._obey()
    assert client.tags == {"cell-2"}
    client.running = {"cell-2": ["an operation"], "the user's": ["another"]}
    session.waiting(press)
    assert client.running == {"the user's": ["another"]}
    with pytest.raises(KeyboardInterrupt):
        session.waiting(press)
