"""A cluster that is well, and how tests/unit/diagnoses/cluster.yaml changes it: what is observed -> findings."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from provision.base.constants import PORTS
from provision.model.cluster.resources import Rule
from provision.model.doctor.observed import ObservedNode, ObservedSparkCluster, asked_of

TABLES = Path(__file__).parents[2] / "diagnoses"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
GIB = 1 << 30
UNITS = {
    "master": (
        "nftables",
        "provision-jvm",
        "spark-master",
        "spark-history",
        "jupyterhub",
        "provision-files",
        "nfs-server",
    ),
    "worker": ("nftables", "provision-jvm", "spark-worker", "home.automount", "shared.automount"),
}
RUNNING = {
    "load": "loaded", "file": "enabled", "active": "active", "sub": "running", "result": "success", "code": 0,
    "restarts": 0, "condition": True, "since": NOW.timestamp() - 9000,
}  # fmt: skip
WORKER = {
    "state": "ALIVE", "cores": 2, "coresused": 0, "coresfree": 2, "memory": 1536, "memoryused": 0, "memoryfree": 1536
}  # fmt: skip
EVERYBODY = {
    "missing": {},
    "failed": [],
    "logs": {},
    "killed": [],
    "disks": [{"path": "/", "size": 8 * GIB, "free": 5 * GIB, "files": 523264, "free_files": 460000}],
    "python": "3.13.5",
    "packages": {"numpy": "2.3.1", "pandas": "2.3.0"},
    "own_packages": "",
    "java": {"path": "/usr/lib/jvm/java-21/bin/java", "version": "21.0.9"},
    "secret": {"hash": "aa", "changed": NOW.timestamp() - 9100},
    "metadata": "",
    "datasource": "DataSourceConfigDrive",
    "name_servers": {"10.20.0.2": True},
    "synchronised": True,
}


def _facts(name, role, nodes):
    shared = EVERYBODY | {
        "units": {unit: dict(RUNNING) for unit in UNITS[role]},
        "firewall": yaml.safe_load((TABLES / f"nftables/{role}.yaml").read_text()),
        "names": {"localhost": "127.0.0.1"},
    }
    if role == "master":
        workers = [WORKER | {"host": each.address} for each in nodes if each.role == "worker"]
        return shared | {
            "spark": {"status": "ALIVE", "workers": workers, "activeapps": []},
            "shares": {},
            "hub": {"problem": "", "pending": {}, "certificate": ""},
            "hub_log": [],
            "servers": [],
            "accounts": {"alice": "well", "bob": "well"},
            "kernel_specs": [],
        }
    me = next(each for each in nodes if each.name == name)
    served = {PORTS.spark_master, PORTS.nfs}
    return shared | {
        "reach": {f"{host}:{port}": "open" if port in served else "refused" for host, port in asked_of(me, nodes)},
        "mounts": {"/home": "nfs4", "/shared": "nfs4"},
        "executors": [],
        "worker_log": [],
    }


_BARE = (
    ObservedNode("a-master", "master", "10.20.0.10"),
    ObservedNode("a-worker-1", "worker", "10.20.0.11"),
    ObservedNode("a-worker-2", "worker", "10.20.0.12"),
)
WELL = ObservedSparkCluster(
    name="a",
    cloud="somewhere",
    now=NOW,
    nodes=tuple(replace(each, facts=_facts(each.name, each.role, _BARE)) for each in _BARE),
    count=2,
    users=("alice", "bob"),
    units=UNITS,
    floating="192.0.2.10",
    secret="aa",
    certificate_ends=NOW + timedelta(days=300),
)


def _apart():
    """Return a cluster that is well and whose Hub has a node of its own."""
    master, *workers = WELL.nodes
    bare = (_BARE[0], ObservedNode("a-hub", "hub", "10.20.0.13"), *_BARE[1:])
    units = UNITS | {"master": UNITS["master"][:3], "hub": (*UNITS["master"][:2], *UNITS["master"][3:])}
    at_hub = dict(master.facts) | {"firewall": [], "units": {unit: dict(RUNNING) for unit in units["hub"]}}
    at_hub["reach"] = {f"{host}:{port}": "open" for host, port in asked_of(bare[1], bare)}
    at_master = {name: master.facts[name] for name in (*EVERYBODY, "names")}
    at_master |= {"firewall": [], "units": {unit: dict(RUNNING) for unit in units["master"]}}
    served = {PORTS.spark_master, PORTS.nfs}
    at_worker, everybody = [], (*bare[:2], *workers)
    for node in workers:
        reach = {f"{host}:{port}": "open" if port in served else "refused" for host, port in asked_of(node, everybody)}
        at_worker.append(dict(node.facts) | {"firewall": [], "reach": reach})
    nodes = tuple(replace(node, facts=facts) for node, facts in zip(bare, [at_master, at_hub, *at_worker], strict=True))
    return replace(WELL, nodes=nodes, units=units, hub_is_apart=True)


APART = _apart()


def _timed(value):
    """Read times of a table, in dicts and lists: `12 s ago` is a number of seconds."""
    if isinstance(value, dict):
        return {key: _timed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_timed(each) for each in value]
    if isinstance(value, str) and value.endswith(" s ago"):
        return NOW.timestamp() - float(value.split()[0])
    return value


def _merged(base, changes):
    """Change a dict of dicts: what is null in `changes` is taken out, lists are replaced."""
    made = copy.deepcopy(base)
    for key, value in changes.items():
        if value is None:
            made.pop(key, None)
        elif isinstance(value, dict) and isinstance(made.get(key), dict):
            made[key] = _merged(made[key], value)
        else:
            made[key] = value
    return made


def observed(case):
    """Build what is observed: a cluster that is well, except for what a table's case says."""
    case = _timed(case)
    nodes = []
    for node in WELL.nodes:
        changes = case.get(node.name, {})
        facts = _merged(node.facts, changes.get("facts", {})) if changes.get("facts", {}) is not None else {}
        if "rule" in changes:  # in front of all others
            facts["firewall"] = [{"rule": changes["rule"] | {"family": "inet", "handle": 9}}, *facts["firewall"]]
        if "app" in changes:
            facts["spark"]["activeapps"] = changes["app"]
        fields = {key: value for key, value in changes.items() if key not in ("facts", "rule", "app")}
        fields |= {"console": tuple(fields["console"])} if "console" in fields else {}
        nodes.append(replace(node, facts=facts, **fields))
    fields = dict(case.get("cloud", {}))
    if "rules" in fields:
        fields["rules"] = tuple(Rule(*each) for each in fields["rules"])
    if "certificate" in fields:
        fields["certificate_ends"] = NOW + timedelta(days=fields.pop("certificate"))
    fields |= {key: tuple(fields[key]) for key in ("ungrouped", "short") if key in fields}
    present = tuple(node for node in nodes if node.name not in case.get("without", ()))
    return replace(WELL, nodes=present, **fields)


def cases():
    """Read the table's cases, by name."""
    return yaml.safe_load((TABLES / "cluster.yaml").read_text())
