"""Run by every PySpark kernel when it starts (PYTHONSTARTUP): `sc` and `spark`, without a kernel that is deaf meanwhile.

A SparkContext takes seconds to minutes. It is made in a thread, so that the kernel answers the page at once (a page that
gets no answer for some minutes forgets the cells that wait); the first cell waits for it, and shows why if it fails.
"""


def _start():
    import atexit
    import importlib.util
    import os
    import signal
    import threading
    import traceback

    from IPython import get_ipython
    from IPython.display import clear_output

    shell = get_ipython()
    # IPython has a magic of this name: it gives way to a variable.
    shell.push({"sc": None})
    made, trouble = {}, []

    def load_shares():
        path = os.path.join(os.path.dirname(os.environ["PYTHONSTARTUP"]), "shares.py")
        spec = importlib.util.spec_from_file_location("shares", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def make():
        try:
            shares = load_shares()
            shares.apply_size(os.environ)
            from pyspark.sql import SparkSession

            spark = SparkSession.builder.getOrCreate()
            shares.watch()
            made.update(spark=spark, sc=spark.sparkContext, sql=spark.sql)
            atexit.register(spark.stop)
        except Exception:
            trouble.append(traceback.format_exc())

    thread = threading.Thread(target=make, name="make-sc", daemon=True)

    def wait(*_):
        if thread.is_alive():
            print("Starting Spark: `sc` will be there in a moment…", flush=True)
            try:
                thread.join()
            except KeyboardInterrupt:
                print("Spark is still starting: this cell runs without `sc`.")
                return
            clear_output()
        shell.events.unregister("pre_run_cell", wait)
        if trouble:
            print("Spark could not be started; restart the kernel to try again.", *trouble, sep="\n")
            return
        shell.push(made)
        shell.events.register("pre_run_cell", obey)
        obey()

    def obey(*_):
        # ipykernel sets its own handler before each cell: this one, in its place, is for that cell only.
        signal.signal(signal.SIGINT, interrupt)

    def interrupt(*_):
        from pyspark import SparkContext

        stopped = []

        def stop():
            # The context of this moment: the user may have stopped the first one and made another.
            active = SparkContext._active_spark_context
            if active is not None and active.statusTracker().getActiveJobsIds():
                active.cancelAllJobs()
                stopped.append(True)

        # Not from here: this thread's own connection to the JVM is in the middle of a call.
        helper = threading.Thread(target=stop, daemon=True)
        helper.start()
        helper.join(10)
        if not stopped:
            raise KeyboardInterrupt
        # The call that waits for the job ends now, with Spark's own words.

    shell.events.register("pre_run_cell", wait)
    thread.start()


_start()
del _start
