"""The kernel's session: made beside the kernel's own start, made anew with other settings, interrupted.

A SparkContext takes seconds to minutes. It is made in a thread, so that the kernel answers the page at once (a page that
gets no answer for some minutes forgets the cells that wait); the first cell waits for it, and shows why if it fails.
Nothing of Spark's is imported before that thread runs.
"""

import asyncio
import atexit
import importlib.util
import itertools
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path

from IPython import get_ipython
from IPython.display import clear_output

from provision_kernel.words import Told

HOOKS = ["tables.watch", "shares.watch", "progress.watch"]
# Those of the image: version 0.1's lacks progress, and the tables, which its nodes have beside this file.
HOOKS = [each for each in HOOKS if importlib.util.find_spec(f"provision_kernel.{each.partition('.')[0]}")]
"""What runs each time a session is made, as `module.function` of this package: it is given the classic SparkSession, in
Connect's kernel too. A hook that fails is told about, and keeps nobody from working."""

LATE = 600
"""Seconds for which a cell that was interrupted before its job began is watched for it: plans of large tables take minutes."""

CONNECT = os.environ.get("PROVISION_KERNEL") == "connect"

_WAITING = ("py4j/clientserver.py", "py4j/java_gateway.py", "grpc/_channel.py")
"""Files of who waits for an answer of the JVM, or of Connect's server."""


class _State:
    thread = None
    made = {}
    trouble = None
    hooked = None
    """The SparkContext for which the hooks have run."""
    numbers = itertools.count(1)
    before = signal.default_int_handler
    """ipykernel's own answer to an interrupt of the cell that runs."""
    pressed = False
    """Whether the cell that runs has been interrupted."""


class _Own(threading.local):
    """What each thread that runs cells has of its own: a subshell's cells run beside those of the notebook."""

    tag = None
    """Tag of the jobs of the cell that runs."""


_own = _Own()


def start():
    """Make the session in a thread, and let each cell wait until it is there."""
    shell = get_ipython()
    # IPython has a magic of this name: it gives way to a variable.
    shell.push({"sc": None})
    shell.events.register("pre_run_cell", _before_first_cell)
    from provision_kernel import magics

    magics.register(shell)
    _State.thread = threading.Thread(target=_make, name="make-sc", daemon=True)
    _State.thread.start()


def restart(settings):
    """End the session and its JVM, and make both anew with `settings` (names to values) over all others.

    Raises what Spark raises if it cannot start; the kernel then has no session, and may be asked again.
    """
    from provision_kernel import launch

    launch.end_jvm()
    launch.EXTRA.clear()
    launch.EXTRA.update(settings)
    get_ipython().push({"spark": None, "sc": None})
    _State.made = _new_session()
    get_ipython().push(_State.made)


def _make():
    try:
        from provision_kernel import guard, launch

        launch.install()
        guard.install()
        _watch_builder()
        _quieten()
        _State.made = _new_session()
        atexit.register(launch.leave_jvm)
    except Told as told:
        _State.trouble = str(told)
    except Exception:
        _State.trouble = traceback.format_exc()


def _quieten():
    """Keep PySpark from printing each error of a query twice, first with Java's trace as one line of JSON.

    And Py4J from printing the trace of an interrupt, which the notebook shows too.
    """
    logging.getLogger().addFilter(lambda record: "KeyboardInterrupt while" not in record.getMessage())
    from pyspark.logger import PySparkLogger

    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        PySparkLogger.getLogger(name).disabled = True


def _new_session():
    """Make a session, and return the variables that a notebook has of it."""
    if CONNECT:
        from provision_kernel import connect

        classic, spark = connect.new_session()
        run_hooks(classic)
        return {"spark": spark, "sc": connect.NoContext(), "sql": spark.sql}
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.getOrCreate()
    return {"spark": spark, "sc": spark.sparkContext, "sql": spark.sql}


def _watch_builder():
    """Let every new classic session, the user's own too, have its hooks, and every setting that comes too late its words."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    from provision_kernel import launch

    _show_links(SparkContext, launch.facts()["pages"])
    original = SparkSession.Builder.getOrCreate

    def get_or_create(self):
        late = launch.too_late(dict(self._options))
        spark = original(self)
        if late:
            print(late)
        if not CONNECT:
            run_hooks(spark)
        return spark

    SparkSession.Builder.getOrCreate = get_or_create


def _show_links(context, pages):
    """Let a SparkContext name its page behind the Hub's login (`pages`); its own is open to nobody."""
    if not os.path.exists(pages["program"]):  # images of version 0.1 lack it
        return
    own = context.uiWebUrl.fget
    plain = context._repr_html_
    # The browser knows by which name it has found the Hub.
    path = f"{pages['path']}app/"
    context.uiWebUrl = property(lambda self: own(self) and f"{pages['hub']}{path}{self.applicationId}/")
    context._repr_html_ = lambda self: plain(self).replace(
        f'href="{self.uiWebUrl}"', f'href="{path}{self.applicationId}/" target="_blank"'
    )


def run_hooks(spark):
    """Run the hooks for a classic session, once for each SparkContext."""
    if _State.hooked is spark.sparkContext:
        return
    _State.hooked = spark.sparkContext
    for hook in HOOKS:
        module, _, function = hook.partition(".")
        try:
            getattr(importlib.import_module(f"provision_kernel.{module}"), function)(spark)
        except Exception:
            print(f"{hook} failed; the session works without it.", traceback.format_exc(), sep="\n")


def _take_names(shell):
    """Be called what the server calls this kernel, if it was begun before that (early_kernel.py)."""
    file = os.environ.pop("EARLY_KERNEL_NAMES", "")
    if not os.path.exists(file):
        return
    from ipykernel.kernelapp import IPKernelApp

    names = json.loads(Path(file).read_text())
    IPKernelApp.instance().connection_file = names["connection_file"]
    os.environ.update(names["environment"])
    if "JPY_SESSION_NAME" in os.environ:
        # As ipykernel does.
        shell.user_ns["__session__"] = os.environ["JPY_SESSION_NAME"]


def _before_first_cell(*_):
    shell = get_ipython()
    _take_names(shell)
    if _State.thread.is_alive():
        print("Starting Spark: `spark` will be there in a moment…", flush=True)
        try:
            _State.thread.join()
        except KeyboardInterrupt:
            print("Spark is still starting: this cell runs without it.")
            return
        clear_output()
    # A subshell's first cell may have waited too.
    with suppress(ValueError):
        shell.events.unregister("pre_run_cell", _before_first_cell)
    shell.events.register("pre_run_cell", _obey)
    _obey()
    if "tables.watch" not in HOOKS:
        print("This node's image is older than its cluster: tables are this notebook's alone. Its operator can renew it.")
    if _State.trouble:
        print(
            "Spark could not be started. Restart the kernel to try again, or give other settings with %%spark_config.",
            _State.trouble,
            sep="\n",
        )
        return
    shell.push(_State.made)


def _obey(*_):
    # Signals are the main thread's: nothing interrupts the cells of a subshell.
    if threading.current_thread() is threading.main_thread():
        # ipykernel sets a handler before each cell: this one goes before it, for that cell only. (A cell may run another.)
        before = signal.signal(signal.SIGINT, _interrupt)
        if before is not _interrupt:
            _State.before = before if callable(before) else signal.default_int_handler
        _State.pressed = False
    _tag()
    if "progress.watch" in HOOKS:
        from provision_kernel import progress

        progress.begin(get_ipython())


def _tag():
    """Give the jobs of this cell its own tag. (A job group would take the place of the user's.)"""
    from pyspark import SparkContext

    before, _own.tag = _own.tag, f"cell-{next(_State.numbers)}"
    try:
        if CONNECT:
            from provision_kernel import connect

            client = connect.client()
            take, give = (client.removeTag, client.addTag) if client is not None else (None, None)
        else:
            active = SparkContext._active_spark_context
            take, give = (active.removeJobTag, active.addJobTag) if active is not None else (None, None)
        if take and before:
            take(before)
        if give:
            give(_own.tag)
    except Exception as error:
        # A context whose JVM has gone: the cell itself says so, or makes another.
        print(f"session: {error!r}", file=sys.__stderr__)


def _cancel(context, tag, others=False):
    """Cancel the running jobs with `tag`, and others too if so asked; return whether there were any.

    A stream is meant to go on: its batches have the tag of the cell that began it, and a group that is the stream's. Where
    there is one, others' jobs are left alone.
    """
    from pyspark.sql import SparkSession

    session, jobs = SparkSession._instantiatedSession, context.statusTracker().getActiveJobsIds()
    if not jobs:
        return False
    streams = [stream.runId for stream in session.streams.active] if session is not None else []
    if others and not streams:
        context.cancelAllJobs()
        return True
    spark, stopped = context._jsc.sc(), False
    for job in jobs:
        known = spark.statusStore().job(job)
        if known.jobTags().contains(tag) and not any(known.jobGroup().contains(run) for run in streams):
            spark.cancelJob(job)
            stopped = True
    return stopped


def _cancel_late(context, tag, pause=0):
    """Cancel the jobs of an interrupted cell that begin after all: the JVM goes on with what it was asked for."""
    ends = time.monotonic() + LATE
    time.sleep(pause)
    try:
        while time.monotonic() < ends and context._jsc is not None:
            _cancel(context, tag)
            time.sleep(2)
    except Exception as error:
        print(f"session: {error!r}", file=sys.__stderr__)


def _interrupt(number, frame):
    again, _State.pressed = _State.pressed, True
    stopped, tag = [], _own.tag

    def stop():
        try:
            ask()
        except Exception as error:
            # A JVM that goes at this moment.
            print(f"session: {error!r}", file=sys.__stderr__)

    def ask():
        from provision_kernel import launch

        if launch.ended() is not None:
            # Connect's client would try for minutes.
            return
        if CONNECT:
            from provision_kernel import connect

            client = connect.client()
            if client is not None:
                ended = client.interruptTag(tag)
                # Threads of the cell's own have no tag. Streams go on, unless somebody insists.
                stopped.extend(ended or (client.interruptAll() if again or not client.streams.active else []))
            return
        from pyspark import SparkContext

        # The context of this moment: the user may have stopped the first one and made another.
        active = SparkContext._active_spark_context
        if active is None:
            return
        if not again and _cancel(active, tag, others=True):
            stopped.append(True)
        else:
            # The second time Python is interrupted first: py4j mistakes an answer that comes meanwhile for a network's error.
            threading.Thread(target=_cancel_late, args=(active, tag, 1 if again else 0), daemon=True).start()

    # Not from here: this thread's own connection to the JVM is in the middle of a call.
    helper = threading.Thread(target=stop, daemon=True)
    helper.start()
    helper.join(10)
    # A call that waits for a job ends now, with Spark's own words. A job may be another thread's, or a loop go on with the
    # next one: who does not wait for Spark, or asks for the second time, is interrupted as in every notebook.
    if not stopped or again or not _waits(frame):
        _State.before(number, frame)
        # Here after a cell that awaits: ipykernel has told its loop to cancel it, and a signal does not wake the loop.
        asyncio.get_running_loop().call_soon_threadsafe(int)


def _waits(frame):
    while frame is not None:
        if frame.f_code.co_filename.endswith(_WAITING):
            return True
        frame = frame.f_back
    return False
