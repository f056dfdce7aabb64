"""Paths that only one machine sees: the driver refuses them in words (SharedPaths.java), in each of Spark's APIs.

A job's output folder is made, and its input listed, by Hadoop's file system object in the driver's JVM. There is one
for file:, kept in Hadoop's own cache: it is replaced by ours before the first SparkContext. The image has the class.
"""

from pathlib import Path

CLASS = "provision.SharedPaths"
LOCAL = ["/tmp", "/var/tmp", "/dev/shm", "/run"]
"""Where users can leave files that the workers do not have. Reading elsewhere, as from /opt, is the same on all nodes."""
HOMES = "/home"


def install():
    """Guard every JVM that PySpark starts from this process, and tell it of each SparkContext's master."""
    from pyspark import SparkContext
    from pyspark.core import context

    launch, initialize = context.launch_gateway, SparkContext._initialize_context

    def launch_gateway(conf=None, popen_kwargs=None):
        gateway = launch(conf, popen_kwargs)
        try:
            put_in_place(gateway.jvm)
        except Exception as error:
            # Spark without it is better than no Spark; but not in silence.
            print(f"Spark will not refuse paths that only this machine has: {error}")
        return gateway

    def initialize_context(self, jconf):
        self._jvm.java.lang.System.setProperty("provision.master", jconf.get("spark.master", "local"))
        return initialize(self, jconf)

    context.launch_gateway = launch_gateway
    SparkContext._initialize_context = initialize_context


def put_in_place(jvm):
    """Make Hadoop's file system object for file: ours, for as long as the JVM lives."""
    from provision_kernel import launch

    cluster = launch.facts()
    hadoop = jvm.org.apache.hadoop
    conf = hadoop.conf.Configuration()
    conf.setClassLoader(class_loader(jvm, cluster["classes"]))
    conf.set("fs.file.impl", CLASS)
    conf.set("provision.paths.shared", ",".join([cluster["shared"], HOMES, cluster["events"]]))
    conf.set("provision.paths.local", ",".join(LOCAL))
    conf.set("provision.paths.advice", f"{cluster['shared']} or a folder of your home ({Path.home()})")
    hadoop.fs.FileSystem.closeAll()
    hadoop.fs.FileSystem.get(jvm.java.net.URI("file:///"), conf)


def class_loader(jvm, folder):
    """Return a class loader that has our class too. Raises FileNotFoundError on a node whose image lacks it."""
    if not Path(folder, *CLASS.split(".")).with_suffix(".class").exists():
        raise FileNotFoundError(f"{folder} has no {CLASS}: the node's image is older than this kernel")
    parent = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    place = jvm.java.io.File(folder).toURI().toURL()
    places = jvm.java.lang.reflect.Array.newInstance(place.getClass(), 1)
    jvm.java.lang.reflect.Array.set(places, 0, place)
    return jvm.java.net.URLClassLoader(places, parent)
