"""How the driver's JVM is started: the cluster's settings, then the server's size, the user's own file, and a cell's.

Settings such as `spark.jars` or `spark.driver.memory` have an effect only when the JVM starts. They are handed over in
a file that only the user can read, and not as arguments, which every user of this machine sees.
"""

import json
import os
import re
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from provision_kernel.words import Told

OWN_FILE = "~/.config/spark/spark-defaults.conf"
EXTRA = {}
"""Settings of the last %%spark_config: names to values."""

_ENTRY = re.compile(r"(spark\.[A-Za-z0-9_.\-]+)(?:\s*[=:]\s*|\s+)(\S.*)")
# What the JVM, or the program that starts it, reads once.
_JVM = re.compile(
    r"spark\.(jars(\..+)?|files|archives|submit\..+|driver\.(memory|memoryOverhead|cores|default\w+|extra\w+|userClassPathFirst))"
)


def facts():
    """Return what this cluster fixes (cluster.json): `pinned`, `prefixes`, and the paths `shared` and `events`."""
    return json.loads((Path(__file__).parent / "cluster.json").read_text())


def parse(text, name):
    """Return the settings in `text`: one a line, as in spark-defaults.conf; `name` says where it is from.

    Raises Told with the number of a line that is none, and for a setting that the cluster depends on.
    """
    cluster, settings = facts(), {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        entry = _ENTRY.fullmatch(line)
        if not entry:
            raise Told(f"{name}, line {number}: write `spark.name value`, as in spark-defaults.conf. It is: {line}")
        key, value = entry.groups()
        why = cluster["pinned"].get(key)
        why = why or next((why for prefix, why in cluster["prefixes"].items() if key.startswith(prefix)), None)
        if why:
            raise Told(f"{name}, line {number}: {key} cannot be set: {why}. Remove it.")
        settings[key] = value.strip()
    return settings


def own_settings():
    """Return the settings of the user's own file; none if there is no such file. Raises Told."""
    path = Path(OWN_FILE).expanduser()
    return parse(path.read_text(), OWN_FILE) if path.exists() else {}


def install():
    """Let every JVM that PySpark starts from this process take the settings of this module."""
    from pyspark.core import context

    original = context.launch_gateway

    def launch_gateway(conf=None, popen_kwargs=None):
        from provision_kernel import connect, session, shares

        settings = shares.size_settings(os.environ, slow=shares.emulated()) | own_settings() | EXTRA
        if session.CONNECT:
            settings |= connect.settings(settings)
        arguments = os.environ.get("PYSPARK_SUBMIT_ARGS", "pyspark-shell")
        # mkstemp's file is the user's alone.
        handle, path = tempfile.mkstemp(prefix="spark-", suffix=".conf")
        try:
            with os.fdopen(handle, "w") as file:
                file.writelines(f"{key} {escape(value)}\n" for key, value in settings.items())
            os.environ["PYSPARK_SUBMIT_ARGS"] = f"--properties-file {path} --load-spark-defaults {arguments}"
            # Out of the kernel's process group: ipykernel ends all of that when the kernel ends, with what the JVM has
            # started to clean up, and kills what takes longer than a quarter of a minute.
            return original(conf, {"process_group": 0} | (popen_kwargs or {}))
        finally:
            os.environ["PYSPARK_SUBMIT_ARGS"] = arguments
            os.unlink(path)

    context.launch_gateway = launch_gateway


def escape(value):
    """Write a value so that Java's properties give it back unchanged."""
    return value.replace("\\", "\\\\")


def end_jvm():
    """Stop the SparkContext and end its JVM, if there are any."""
    from pyspark import SparkContext

    from provision_kernel import session

    if session.CONNECT:
        from provision_kernel import connect

        connect.stop()
    active, gateway = SparkContext._active_spark_context, SparkContext._gateway
    if active is not None:
        stop(active)
    if gateway is None:
        return
    SparkContext._gateway = SparkContext._jvm = None
    # One that has ended by itself answers nobody.
    with suppress(Exception):
        gateway.shutdown()
    # The JVM lives as long as this pipe.
    gateway.proc.stdin.close()
    try:
        gateway.proc.wait(30)
    except Exception:
        gateway.proc.kill()
        gateway.proc.wait()


def stop(context):
    """Stop a SparkContext, also one whose JVM has ended: PySpark then stops at the first error, half done."""
    with suppress(OSError):
        context.stop()
        return
    context.stop()


def ended():
    """Return the exit status of the driver's JVM; None while it runs, and before there is one."""
    from pyspark import SparkContext

    process = getattr(SparkContext._gateway, "proc", None)
    return process.poll() if process is not None else None


def leave_jvm():
    """Have the JVM stop its SparkContext and end, with this kernel; it goes on where this process is killed meanwhile."""
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    if gateway is None:
        return
    # The JVM lives as long as this pipe.
    gateway.proc.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        gateway.proc.wait(30)


def too_late(options):
    """Return a sentence about the builder's `options` that cannot have an effect any more; None if there are none."""
    from pyspark import SparkContext

    active = SparkContext._active_spark_context
    if SparkContext._gateway is None:
        return None
    jvm = SparkContext._jvm
    late = [
        key
        for key, value in options.items()
        if (_JVM.fullmatch(key) or (active is not None and is_static(jvm, key)))
        and (active is None or active.getConf().get(key, None) != str(value))
    ]
    if not late:
        return None
    has, one = ("has", "it") if len(late) == 1 else ("have", "them")
    return (
        f"{', '.join(late)} {has} no effect: Spark is running already. Give {one} in a cell of its own that begins with "
        f"%%spark_config (Spark starts anew), or in {OWN_FILE} (for every notebook from its start)."
    )


def is_static(jvm, key):
    """Whether Spark reads a setting when its context is made, and not each time a query runs."""
    if key in ("spark.app.name", "spark.master", "spark.remote", "spark.api.mode"):
        return False
    if not key.startswith("spark.sql."):
        return not key.startswith(("spark.hadoop.", "spark.connect."))
    return bool(jvm.org.apache.spark.sql.internal.SQLConf.isStaticConfigKey(key))
