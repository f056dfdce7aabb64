"""A cloud that is well, and how the tables in tests/unit/diagnoses change it: what is observed -> findings."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from provision.model.localcloud.doctor.observed import (
    Certificate,
    Clock,
    ConsulCheck,
    DatabaseMember,
    Disk,
    Endpoint,
    ObservedLocalCloud,
    Queue,
    Unit,
    Worker,
)
from provision.model.localcloud.settings import Settings, apis

TABLES = Path(__file__).parents[3] / "diagnoses"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
GIB = 1024**3
SYNCED = {
    "wsrep_cluster_size": "3",
    "wsrep_cluster_status": "Primary",
    "wsrep_local_state_comment": "Synced",
    "wsrep_cluster_state_uuid": "aaaa",
}


def ago(**span):
    return NOW - timedelta(**span)


def unit(service, name="", **more):
    family = more.pop("family", service.partition("-")[0])
    defaults = {"project": "provision", "state": "running", "started": ago(hours=3)}
    return Unit(service, name or f"{service}-1", **{**defaults, "image": f"provision/{family}:new", **more})


def hypervisor(service, **more):
    return unit(service, f"compute-1-{service}-1", project="provision-compute-1", hypervisor="compute-1", **more)


UNITS = (
    *(unit(name) for name in ("consul", "registrator", "haproxy", "mariadb", "rabbitmq", "keystone", "glance")),
    *(unit(name) for name in ("placement", "nova-api", "nova-scheduler", "nova-conductor", "neutron-api")),
    hypervisor("nova-compute", family="compute"),
    hypervisor("metadata-agent", family="neutron"),
    hypervisor("switch", family="ovn"),
)
APIS = apis(Settings())
NAMES = ("keystone", "glance", "placement", "nova-api", "neutron")
WELL = ObservedLocalCloud(
    now=NOW,
    wanted={(each.project, each.service): 1 for each in UNITS},
    units=UNITS,
    apis=APIS,
    tags=dict.fromkeys({each.family for each in UNITS}, "new"),
    hypervisors=("compute-1",),
    endpoints=tuple(
        Endpoint(api.type, api.user, interface, f"http://{host}:{api.port}{api.path}")
        for api in APIS
        if api.type
        for interface, host in (("public", "127.0.0.1"), ("internal", "haproxy.service.consul"))
    ),
    checks=tuple(ConsulCheck(name, f"vm:provision-{name}-1:1", True, "200 OK") for name in NAMES),
    backends=dict.fromkeys(NAMES, 1),
    compute=tuple(
        Worker(kind, host, True, seen=ago(seconds=5))
        for kind, host in (("nova-scheduler", "nova-scheduler"), ("nova-compute", "compute-1"))
    ),
    agents=(
        Worker("OVN Controller agent", "compute-1", True, seen=ago(seconds=20)),
        Worker("OVN Metadata agent", "compute-1", True, seen=ago(seconds=20)),
    ),
    members=(DatabaseMember("mariadb-1", True),),
    queues=(Queue("conductor", 0, 1), Queue("compute.compute-1", 3, 1), Queue("reply_1", 2, 0)),
    clocks=(Clock("Docker's host", 0.4, 0.1), Clock("Keystone's host", 3.4, 0.6)),
    disks=(Disk("the database", 100 * GIB, 30 * GIB),),
    certificates=(Certificate("/x/hub.pem", NOW, NOW + timedelta(days=300), "analytics"),),
)
BROKERS = ("rabbitmq", "rabbitmq-2", "rabbitmq-3")


def timed(fields):
    """Read a table's times: `5 min ago`."""
    units = {"s": "seconds", "min": "minutes", "h": "hours", "days": "days"}
    read = {}
    for key, value in fields.items():
        match = re.fullmatch(r"(\d+) (s|min|h|days) ago", str(value))
        read[key] = ago(**{units[match[2]]: int(match[1])}) if match else value
    return read


def changed(things, by, changes):
    """Change some of these things, each known by one of its fields."""
    return tuple(replace(each, **timed(changes.get(getattr(each, by), {}))) for each in things)


def workers(known, given):
    """Replace the workers of the same kind and host, and add the others."""
    found = {(each.kind, each.host): each for each in known}
    for fields in map(timed, given):
        key = (fields["kind"], fields["host"])
        found[key] = replace(found[key], **fields) if key in found else Worker(**fields)
    return tuple(found.values())


def with_brokers(seen, passing):
    """Return a cloud with three brokers, of which so many pass their check."""
    units = (
        *(each for each in seen.units if each.name != "rabbitmq-1"),
        *(unit(name, family="rabbitmq") for name in BROKERS),
    )
    refused = "dial tcp 172.28.0.9:5672: connection refused"
    checks = [
        ConsulCheck("rabbitmq", f"vm:{name}:5672", place < passing, "" if place < passing else refused)
        for place, name in enumerate(BROKERS)
    ]
    wanted = {(each.project, each.service): 1 for each in units}
    return replace(seen, units=units, wanted=wanted, checks=(*seen.checks, *checks))


def database(place, variables):
    name = f"mariadb-{place}"
    return DatabaseMember(name, False) if variables == "silent" else DatabaseMember(name, True, SYNCED | variables)


def observed(case):
    """Build what is observed: a cloud that is well, except for what a table's case says."""
    seen = with_brokers(WELL, case["brokers"]["passing"]) if "brokers" in case else WELL
    units = changed(seen.units, "name", case.get("unit", {}))
    checks = changed(seen.checks, "service", case.get("check", {}))
    fields = {
        "units": tuple(each for each in units if each.name not in case.get("without", ())),
        "wanted": {**seen.wanted, **{("provision", name): count for name, count in case.get("wanted", {}).items()}},
        "checks": (
            *(each for each in checks if each.service not in case.get("without_check", ())),
            *(ConsulCheck(**each) for each in case.get("checks", ())),
        ),
        "backends": {**seen.backends, **case.get("backends", {})},
        "endpoints": (
            *(each for each in seen.endpoints if each.type not in case.get("without_endpoint", ())),
            *(Endpoint(**each) for each in case.get("more_endpoints", ())),
        ),
        "tags": {**seen.tags, **case.get("tags", {})},
    }
    for kind in ("compute", "agents"):
        known = [each for each in getattr(seen, kind) if each.kind not in case.get("without_worker", ())]
        fields[kind] = workers(known, case.get(kind) or ())
    if "members" in case:
        fields["members"] = tuple(database(place, each) for place, each in enumerate(case["members"], 1))
    if case.get("queues"):
        fields["queues"] = tuple(Queue(**each) for each in case["queues"])
    if "clocks" in case:
        fields["clocks"] = tuple(Clock(**each) for each in case["clocks"])
    if "disks" in case:
        fields["disks"] = tuple(
            Disk(each["holds"], int(each["size"] * GIB), int(each["free"] * GIB)) for each in case["disks"]
        )
    if "certificates" in case:
        fields["certificates"] = tuple(
            Certificate(
                each.get("path", "/x/hub.pem"),
                NOW + timedelta(days=each.get("begins", 0)),
                NOW + timedelta(days=each["ends"]),
                each.get("cluster", ""),
                each.get("authority", False),
            )
            for each in case["certificates"]
        )
    fields |= {name: tuple(case[name]) for name in ("failed_nodes", "unregistered", "stale") if name in case}
    # What could not be read, or is not there at all.
    fields |= {name: None for name in ("endpoints", "compute", "agents", "queues") if name in case and not case[name]}
    fields |= {"units": ()} if "units" in case else {}
    return replace(seen, **fields, unseen=case.get("unseen", {}))


def cases(*tables):
    """Read the cases of some tables, by name."""
    return {
        name: case for table in tables for name, case in yaml.safe_load((TABLES / f"{table}.yaml").read_text()).items()
    }


def check(found, case):
    """Compare findings with a case's: what is wrong exactly, the advice by a part of it, the rule if it is given."""
    expected = case.get("findings", [])
    assert [(each.where, each.wrong) for each in found] == [(each["where"], each["wrong"]) for each in expected]
    for finding, wanted in zip(found, expected, strict=True):
        assert wanted["do"] in finding.do
        assert finding.rule == wanted.get("rule", finding.rule)
        assert finding.do.endswith(".")
        assert finding.do[0] == "`" or finding.do[0].isupper(), "advice is in full sentences"


def rules_that_find(rules, seen):
    """Name the rules that find something in one of these observations."""
    return {rule.__name__ for rule in rules for each in seen if any(rule(each))}
