"""Entries of spark-defaults that a spec may and may not set."""

from __future__ import annotations

import pytest

from provision.base import paths
from provision.clusterfile import load
from provision.clusterfile.pinned import OWN_FIELDS, PINNED, PREFIXES, default_entry
from provision.clusterfile.units import Wrong

# id: text of the file, line that is named, parts of the message, part of the hint
BAD = {
    "spark.master": (
        "name: a\nspark: {defaults: {spark.master: x}}",
        2,
        ["spark.defaults.spark.master", "the cluster itself"],
        "Remove",
    ),
    "spark.driver.host": ("name: a\nspark: {defaults: {spark.driver.host: x}}", 2, ["reach the driver"], "Remove"),
    "spark.authenticate": (
        "name: a\nspark:\n  defaults:\n    spark.authenticate: false",
        4,
        ["spark.authenticate", "authenticates"],
        "Remove",
    ),
    "spark.executor.memory twice": (
        "name: a\nspark: {defaults: {spark.executor.memory: 1g}}",
        2,
        ["field of its own"],
        "spark.executor_memory",
    ),
    "no Spark setting": ("name: a\nspark: {defaults: {sql.x: 1}}", 2, ["not a Spark setting"], "spark."),
    "setting is a list": ("name: a\nspark: {defaults: {spark.x: [1]}}", 2, ["not text"], "quotes"),
    "setting that opens a port": (
        "name: a\nspark: {defaults: {spark.shuffle.service.enabled: true}}",
        2,
        ["spark.shuffle.service.enabled", "firewall"],
        "Remove",
    ),
    "setting of the scratch folder": (
        "name: a\nspark: {defaults: {spark.local.dir: /tmp}}",
        2,
        ["fixed paths"],
        "Remove",
    ),
    "setting that the nodes would undercut": (
        "name: a\nspark: {defaults: {spark.history.fs.cleaner.maxAge: 30d}}",
        2,
        ["spark.history.fs.cleaner.maxAge", "after 14 days"],
        "Remove",
    ),
    "setting of the workers' logs": (
        "name: a\nspark: {defaults: {spark.executor.logs.rolling.maxSize: 1}}",
        2,
        ["64 MiB"],
        "Remove",
    ),
    "setting with an escape in its name": (
        'name: a\nspark: {defaults: {"spark.au\\\\u0074henticate": "false"}}',
        2,
        ["not a Spark setting"],
        "letters",
    ),
    "setting without a value": ("name: a\nspark:\n  defaults:\n    spark.x:", 4, ["no value"], "remove"),
    "setting of two lines": ('name: a\nspark: {defaults: {spark.x: "a\\nb"}}', 2, ["more than one line"], "one line"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_spec(case, refused):
    refused(*BAD[case])


# YAML 1.1 would make 18 of 022, 3600 of 1:00:00, true of on, 1000 of 1_000.
AS_WRITTEN = [
    *("64", "0.5", "true", "false", "a b", "022", "1:00:00", "on", "yes", "True", "1e3", "0x10", "1_000"),
    *("2026-11-27", "+5", ".5", "~/jars", "'64'", '"022"'),
]


@pytest.mark.parametrize("written", AS_WRITTEN)
def test_values_reach_spark_as_they_are_written(written, tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text(f"name: a\nspark:\n  defaults:\n    spark.x: {written}\n")
    assert load(file).spark.defaults == (("spark.x", written.strip("'\"")),)


@pytest.mark.parametrize(("key", "value"), [("spark.", 1), ("spark.a b", 1), ("spark.x", ""), ("spark.x", None)])
def test_bad_entries(key, value):
    with pytest.raises(Wrong) as caught:
        default_entry(key, value)
    assert caught.value.fix


@pytest.mark.parametrize("key", [*PINNED, *(f"{prefix}x" for prefix in PREFIXES), *OWN_FIELDS])
def test_what_the_cluster_itself_sets(key):
    with pytest.raises(Wrong):
        default_entry(key, "x")


def test_every_entry_that_the_template_sets_is_pinned_or_free_on_purpose():
    """Those that are free come later in the file, and so win: timeouts, cleaning and the tables' place, no wiring."""
    text = (paths.TEMPLATES / "spark" / "spark-defaults.conf.j2").read_text()
    keys = {line.split()[0] for line in text.splitlines() if line.startswith("spark.")}
    free = {key for key in keys - PINNED.keys() - OWN_FIELDS.keys() if not key.startswith(tuple(PREFIXES))}
    assert free == {
        "spark.decommission.enabled",
        "spark.deploy.retainedApplications",
        "spark.driver.memory",
        "spark.dynamicAllocation.cachedExecutorIdleTimeout",
        "spark.dynamicAllocation.enabled",
        "spark.dynamicAllocation.executorIdleTimeout",
        "spark.dynamicAllocation.initialExecutors",
        "spark.dynamicAllocation.minExecutors",
        "spark.dynamicAllocation.shuffleTracking.enabled",
        "spark.dynamicAllocation.shuffleTracking.timeout",
        "spark.executor.cores",
        "spark.executor.decommission.forceKillTimeout",
        "spark.storage.decommission.enabled",
        "spark.eventLog.rolling.enabled",
        "spark.network.auth.rpcTimeout",
        "spark.network.timeout",
        "spark.rpc.askTimeout",
        "spark.rpc.lookupTimeout",
        "spark.sql.warehouse.dir",
        "spark.ui.killEnabled",
        "spark.ui.showConsoleProgress",
        "spark.worker.cleanup.enabled",
        "spark.worker.timeout",
        # Free without spark.packages alone (checks.py).
        "spark.driver.extraClassPath",
        "spark.executor.extraClassPath",
        # Who sets them beside `proxy` says all of it.
        "spark.driver.defaultJavaOptions",
        "spark.executor.defaultJavaOptions",
        "spark.executorEnv.{{",
    }
