"""Spark Connect: a server in the kernel's own JVM, for this notebook alone, and a session of its client.

The server listens on the loopback address, on a free port, and answers only who has this kernel's token. It ends with
the kernel.
"""

import os
import secrets

_PLUGIN = "org.apache.spark.sql.connect.SparkConnectPlugin"
_TOKEN = "SPARK_CONNECT_AUTHENTICATE_TOKEN"


class _Server:
    classic = None
    """The classic session of the JVM in which the server runs."""
    client = None
    """The session of the notebook. (PySpark's idea of the active one is each thread's own.)"""


class NoContext:
    """What `sc` is in a Connect notebook: it says what to use instead."""

    def __getattr__(self, name):
        raise AttributeError(
            f"sc.{name}: a Connect notebook has no SparkContext. Use `spark` and DataFrames, or open a PySpark notebook."
        )

    def __repr__(self):
        return "No SparkContext: this notebook uses Spark Connect. Use `spark`, or open a PySpark notebook."


def settings(others):
    """Return the settings of a JVM with a server in it, beside the user's `others`."""
    plugins = [name for name in others.get("spark.plugins", "").split(",") if name and name != _PLUGIN]
    return {
        # The message alone: the way through the server says nothing to who wrote the query.
        "spark.sql.connect.serverStacktrace.enabled": others.get("spark.sql.connect.serverStacktrace.enabled", "false"),
        "spark.plugins": ",".join([*plugins, _PLUGIN]),
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": "0",
        "spark.sql.artifact.isolation.enabled": "true",
        "spark.sql.artifact.isolation.alwaysApplyClassloader": "true",
    }


def new_session():
    """Start the server and return its classic session and a session of the client."""
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    for name in ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED"):
        os.environ.pop(name, None)
    # Server and client take it from the environment, which only their user can read.
    os.environ[_TOKEN] = secrets.token_urlsafe(32)
    _Server.classic = SparkSession(SparkContext.getOrCreate(SparkConf()))
    # Scala's own object of that name: Java has no static method for it.
    service = getattr(SparkContext._jvm.org.apache.spark.sql.connect.service, "SparkConnectService$")
    port = getattr(service, "MODULE$").localPort()
    # From now on PySpark's own functions and `SparkSession.builder` mean the server, and see no other session.
    SparkSession._instantiatedSession = None
    SparkContext._active_spark_context = None
    os.environ["SPARK_REMOTE"] = f"sc://localhost:{port}"
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    _Server.client = ConnectSession.builder.remote(os.environ["SPARK_REMOTE"]).getOrCreate()
    _give_up_with_jvm(_Server.client.client.get_retry_policies())
    return _Server.classic, _Server.client


def _give_up_with_jvm(policies):
    """Let a client not try for minutes to reach a server that has ended with its JVM; a cell could not even be stopped."""
    from provision_kernel import launch

    for policy in policies:
        policy.can_retry = lambda error, can_retry=policy.can_retry: launch.ended() is None and can_retry(error)


def client():
    """Return the notebook's session of the client; None before there is one."""
    return _Server.client


def stop():
    """End the client's session and the server's SparkContext, if there are any."""
    from provision_kernel import launch

    if _Server.client is not None:
        _Server.client.release_session_on_close = launch.ended() is None
        _Server.client.stop()
    if _Server.classic is not None:
        launch.stop(_Server.classic.sparkContext)
    _Server.client = _Server.classic = None
