"""Spark settings that a user may not change because the cluster depends on them, each with the reason."""

from __future__ import annotations

import re
from typing import Final

from provision.clusterfile.units import Wrong

_PORTS = "only its fixed range of ports is open between the nodes"
_ADDRESS = "it has to be the master's address, so that executors reach the driver"
_TRUST = "the cluster authenticates and encrypts Spark's traffic itself"
_CLOSED = "the nodes' firewall does not open the port that it listens on"
_PLACE = "the image and its units have fixed paths"

PINNED: Final = {
    "spark.master": "it is the cluster itself",
    "spark.submit.deployMode": "notebooks' drivers run on the master",
    "spark.driver.host": _ADDRESS,
    "spark.driver.bindAddress": _ADDRESS,
    "spark.driver.port": _PORTS,
    "spark.driver.blockManager.port": _PORTS,
    "spark.blockManager.port": _PORTS,
    "spark.port.maxRetries": _PORTS,
    "spark.ui.port": _PORTS,
    "spark.ui.enabled": "operators need it to watch notebooks",
    "spark.history.ui.port": _PORTS,
    "spark.eventLog.enabled": _PLACE,
    "spark.eventLog.dir": _PLACE,
    "spark.history.fs.logDirectory": _PLACE,
    "spark.local.ip": _ADDRESS,
    "spark.pyspark.python": _PLACE,
    "spark.pyspark.driver.python": _PLACE,
    "spark.local.dir": _PLACE,
}
PREFIXES: Final = {
    "spark.authenticate": _TRUST,
    "spark.network.crypto.": _TRUST,
    "spark.ssl.": _TRUST,
    "spark.shuffle.service.": _CLOSED,
    "spark.master.rest.": _CLOSED,
    "spark.master.ui.": _CLOSED,
    "spark.worker.ui.": _CLOSED,
    "spark.connect.grpc.binding.": _CLOSED,
    "spark.metrics.conf.master.": "monitoring asks the daemons by it",
    "spark.metrics.conf.worker.": "monitoring asks the daemons by it",
    "spark.executor.logs.rolling.": "the workers read it when they start, and keep 64 MiB of what an executor prints",
    "spark.history.fs.cleaner.": "the nodes remove the records of applications after 14 days, whoever looks at them",
    "spark.provision.": "the notebooks share the cluster by it",
}
OWN_FIELDS: Final = {
    "spark.deploy.defaultCores": "spark.app_cores",
    "spark.cores.max": "spark.app_cores",
    "spark.executor.memory": "spark.executor_memory",
    "spark.provision.userCores": "spark.user_cores",
}


_KEY: Final = re.compile(r"spark(\.[A-Za-z0-9_-]+)+")
"""Spark reads its file as Java's properties, where `spark.au\\u0074henticate` is `spark.authenticate`."""


def default_entry(key: str, value: object) -> str:
    """Check one entry of `spark.defaults`, and return its value as text. Raises Wrong."""
    if not key.startswith("spark.") or key == "spark.":
        raise Wrong(f"{key!r} is not a Spark setting", "Settings start with `spark.`.")
    if any(mark.isspace() for mark in key):
        raise Wrong(f"{key!r} has a space in its name", "Write `name: value`, and put the value in quotes if need be.")
    if not _KEY.fullmatch(key):
        raise Wrong(f"{key!r} is not a Spark setting", "Names consist of letters, digits, `.`, `-` and `_`.")
    if key in OWN_FIELDS:
        raise Wrong("it has a field of its own", f"Set {OWN_FIELDS[key]} instead.")
    why = PINNED.get(key) or next((why for prefix, why in PREFIXES.items() if key.startswith(prefix)), None)
    if why:
        raise Wrong(f"it cannot be set: {why}", "Remove it.")
    if value is None or value == "":
        raise Wrong("it has no value", "Give it one, or remove it.")
    if not isinstance(value, str):
        raise Wrong("its value is not text", 'Write it in quotes: "64".')
    if "\n" in value or "\r" in value:
        raise Wrong("its value has more than one line", "Write it in one line.")
    return value
