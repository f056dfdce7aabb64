"""Every alert rule of a cluster, evaluated by vmalert itself: it fires on its fault, with `doctor`'s words."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import yaml

from provision.base.model import Addresses, ClusterSpec, Flavor
from provision.model.cluster.example import sizing
from provision.model.cluster.render import public_context
from provision.model.monitoring.alert_rule import AlertRule
from provision.model.templating import render_mapping

pytestmark = pytest.mark.integration

SPEC = ClusterSpec("a", monitoring=True)
CONTEXT = public_context(
    SPEC,
    sizing(SPEC, "cluster.yaml", (Flavor("m1.small", 2, 2048, 20),)),
    Addresses("10.20.0.10", "192.0.2.10"),
    "master",
)
RULES = [AlertRule(**each) for each in CONTEXT["monitoring"]["rules"]]
MIB = 1 << 20
GIB = 1 << 30
NODES = {
    "a-master": ("master", "10.20.0.10"),
    "a-worker-1": ("worker", "10.20.0.11"),
    "a-worker-2": ("worker", "10.20.0.12"),
}
UNITS = {
    "master": ("spark-master.service", "jupyterhub.service", "provision-files.service"),
    "worker": ("spark-worker.service", "shared.automount", "home.automount"),
}
JOBS = {"master": ("node", "spark-master", "spark-users", "hub"), "worker": ("node", "spark-worker")}


def labels(node, **more):
    role, address = NODES[node]
    return {"instance": node, "role": role, "address": address, **more}


def named(metric, /, **given):
    return metric + "{" + ",".join(f'{key}="{value}"' for key, value in given.items()) + "}"


def unit(node, name, state):
    return named("node_systemd_unit_state", **labels(node, job="node", name=name, state=state))


def of(metric, node, **more):
    return named(metric, **labels(node, job="node", **more))


def up(node, job):
    return named("up", **labels(node, job=job))


ANSWERS = named("spark_master_answers", **labels("a-master", job="spark-users"))


def well():
    """What a cluster that works gives."""
    found = {named("hub_certificate_ends_timestamp_seconds", **labels("a-master", job="spark-users")): 10**9}
    for node, (role, address) in NODES.items():
        found |= {up(node, job): 1 for job in JOBS[role]}
        for name in UNITS[role]:
            for state in ("active", "inactive", "failed", "activating"):
                found[unit(node, name, state)] = int(state == "active")
        for mount in ("home.mount", "shared.mount") if role == "worker" else ():
            # Nobody has looked yet.
            found |= {unit(node, mount, "inactive"): 1, unit(node, mount, "failed"): 0}
        found |= {
            of("node_filesystem_avail_bytes", node, mountpoint="/"): 5 * GIB,
            of("node_filesystem_size_bytes", node, mountpoint="/"): 10 * GIB,
            of("node_filesystem_files", node, mountpoint="/"): 600_000,
            of("node_filesystem_files_free", node, mountpoint="/"): 400_000,
            of("node_memory_MemAvailable_bytes", node): GIB,
            of("node_memory_MemTotal_bytes", node): 2 * GIB,
            of("node_vmstat_oom_kill", node): 3,
        }
        if role == "worker":
            found[f'spark_worker_alive{{address="{address}",instance="a-master",job="spark-users",role="master"}}'] = 1
    return found | {ANSWERS: 1}


WORKER = {"job": "node", "instance": "a-worker-1", "role": "worker", "address": "10.20.0.11"}
DISK = WORKER | {"mountpoint": "/"}
STOPPED = {unit("a-worker-1", "spark-worker.service", "active"): 0}
ALIVE = 'spark_worker_alive{address="10.20.0.11",instance="a-master",job="spark-users",role="master"}'
# A rule, what is different, the labels of its alert, and what it says where its text has a figure in it.
FAULTS = [
    ("NothingGathered", dict.fromkeys(well(), "_x90"), {}, ""),
    # Without a word that they end, as on a full disk: the store repeats the last figures for five minutes.
    (
        "NothingGathered",
        {up(node, job): "1x46 _x43" for node, (role, _) in NODES.items() for job in JOBS[role]},
        {},
        "",
    ),
    (
        "NodeAway",
        {up("a-worker-1", job): 0 for job in JOBS["worker"]},
        {"instance": "a-worker-1", "role": "worker"},
        "",
    ),
    (
        "DiskFull",
        {of("node_filesystem_avail_bytes", "a-worker-1", mountpoint="/"): 100 * MIB},
        DISK,
        "is full: 100MiB are left",
    ),
    (
        "InodesGone",
        {of("node_filesystem_files_free", "a-worker-1", mountpoint="/"): 7},
        DISK,
        "has no inodes left: 7 of them, so no new file can be made",
    ),
    (
        "MemoryShort",
        {of("node_memory_MemAvailable_bytes", "a-worker-1"): 64 * MIB},
        WORKER,
        "has 64MiB of memory left",
    ),
    (
        "ProgramsKilled",
        {of("node_vmstat_oom_kill", "a-worker-1"): "3x30 5x60"},
        WORKER,
        "has ended programs for want of memory: 2 in the last 30 min",
    ),
    (
        "UnitDown",
        STOPPED | {unit("a-worker-1", "spark-worker.service", "inactive"): 1},
        WORKER | {"name": "spark-worker.service", "state": "inactive"},
        "is stopped",
    ),
    (
        "UnitDown",
        STOPPED | {unit("a-worker-1", "spark-worker.service", "failed"): 1},
        WORKER | {"name": "spark-worker.service", "state": "failed"},
        "has failed",
    ),
    (
        "UnitDown",
        {unit("a-master", "jupyterhub.service", "active"): 0, unit("a-master", "jupyterhub.service", "inactive"): 1},
        labels("a-master", job="node", name="jupyterhub.service", state="inactive"),
        "is stopped",
    ),
    (
        "NotMounted",
        {unit("a-worker-1", "shared.mount", "inactive"): 0, unit("a-worker-1", "shared.mount", "failed"): 1},
        WORKER | {"name": "shared.mount", "state": "failed"},
        "is not the master's /shared: it could not be mounted",
    ),
    ("HubSilent", {up("a-master", "hub"): 0}, labels("a-master", job="hub"), ""),
    ("SparkSilent", {up("a-master", "spark-master"): 0}, labels("a-master", job="spark-master"), ""),
    (
        "WorkerUnregistered",
        {ALIVE: "_x90"},
        WORKER | {"name": "spark-worker.service", "state": "active"},
        "",
    ),
    (
        "WorkerUnregistered",
        # On a master of an older image.
        {ALIVE: "_x90", ANSWERS: "_x90"},
        WORKER | {"name": "spark-worker.service", "state": "active"},
        "",
    ),
    (
        "CertificateEnds",
        {named("hub_certificate_ends_timestamp_seconds", **labels("a-master", job="spark-users")): 600 + 86400},
        {},
        "expires in 1d 0h 0m 0s",
    ),
    (
        "CertificateEnds",
        {named("hub_certificate_ends_timestamp_seconds", **labels("a-master", job="spark-users")): 0},
        {},
        "has expired",
    ),
    ("NoMetrics", {up("a-worker-1", "node"): 0}, WORKER, ""),
]
QUIET = [
    # A small disk that is rather full, a node that has ended programs long ago, a Hub that has just started.
    {of("node_filesystem_avail_bytes", "a-worker-1", mountpoint="/"): 300 * MIB},
    {of("node_vmstat_oom_kill", "a-worker-1"): 50},
    {up("a-master", "hub"): "1x50 0x20 1x20"},
    # The Spark master itself does not say who is there: that is another alert's.
    {unit("a-worker-1", "spark-worker.service", "active"): 1, up("a-master", "spark-users"): "1x80 0x10"},
    dict.fromkeys((ANSWERS, *(name for name in well() if name.startswith("spark_worker_"))), "_x90"),
]


def series(changed):
    unknown = set(changed) - set(well())
    assert not unknown
    return [
        {"series": name, "values": str(figures) if "x" in str(figures) else f"{figures}x90"}
        for name, figures in (well() | changed).items()
    ]


def which(name, found, wrong):
    """Find the rule of this name that is about what has changed."""
    of_name = [rule for rule in RULES if rule.name == name]
    if name == "UnitDown":
        of_name = [rule for rule in of_name if rule.wrong == wrong and f'role="{found["role"]}"' in rule.expr]
    if name == "NotMounted":
        of_name = [rule for rule in of_name if found["name"] in rule.expr]
    return of_name[0]


def expected(rule, found, wrong):
    def filled(text):
        text = re.sub(
            r'\{\{ \$labels\.name \| reReplaceAll "[^"]+" "" \}\}',
            lambda _: found["name"].removesuffix(".service"),
            text,
        )
        return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda match: found[match[1]], text)

    texts = {"where": filled(rule.where), "wrong": wrong or filled(rule.wrong), "do": filled(rule.do)}
    return {"exp_labels": found, "exp_annotations": texts}


def cases():
    names = sorted({rule.name for rule in RULES})
    for number, (name, changed, found, wrong) in enumerate(FAULTS):
        alert = expected(which(name, found, wrong), found, wrong)
        yield {
            "name": f"{number}: {name}",
            "interval": "10s",
            "input_series": series(changed),
            "alert_rule_test": [
                {
                    "eval_time": "10m",
                    "groupname": "a",
                    "alertname": each,
                    "exp_alerts": [alert] if each == name else [],
                }
                for each in names
            ],
        }
    for number, changed in enumerate(QUIET):
        yield {
            "name": f"quiet {number}",
            "interval": "10s",
            "input_series": series(changed),
            "alert_rule_test": [
                {"eval_time": "10m", "groupname": "a", "alertname": each, "exp_alerts": []} for each in names
            ],
        }


def test_each_rule_has_a_fault_here():
    assert {rule.name for rule in RULES} == {fault[0] for fault in FAULTS}


def test_each_rule_fires_on_its_fault_and_says_what_doctor_would(request, tmp_path):
    (tmp_path / "alerts.yaml").write_text(render_mapping("monitoring/alerts.yaml.j2", CONTEXT))
    program = shutil.which("vmalert-tool")
    place = tmp_path if program else "/config"
    table = {"rule_files": [f"{place}/alerts.yaml"], "evaluation_interval": "10s", "tests": list(cases())}
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(table))
    if program:
        done = subprocess.run(
            [program, "unittest", f"--files={tmp_path}/cases.yaml"], capture_output=True, text=True, check=False
        )
        code, output = done.returncode, done.stdout + done.stderr
    else:
        tester = request.getfixturevalue("world").start(
            "cluster-rules",
            "monitoring",
            ["unittest", "--files=/config/cases.yaml"],
            entrypoint=["vmalert-tool"],
            volumes={str(tmp_path): {"bind": "/config", "mode": "ro"}},
        )
        code, output = tester.wait()["StatusCode"], tester.logs().decode()
    assert code == 0, output
