"""Each rule of `provision cloud doctor`: a cloud that is well, one thing changed, and the words that follow."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from provision.model.localcloud.doctor.finding import Finding, listed, span, text
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
from provision.model.localcloud.doctor.rules import RULES, diagnose
from provision.model.localcloud.settings import Settings, apis

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
    certificates=(Certificate("/x/hub.pem", NOW + timedelta(days=300), "analytics"),),
)


def changed(**fields):
    """Return what is found once these fields are others, as (where, what is wrong, what to do)."""
    return [(each.where, each.wrong, each.do) for each in diagnose(replace(WELL, **fields))]


def with_unit(name, **more):
    return {"units": tuple(replace(each, **more) if each.name == name else each for each in UNITS)}


def without(fields, name):
    return tuple(each for each in fields if each.name != name)


def with_check(service, **more):
    return tuple(replace(each, **more) if each.service == service else each for each in WELL.checks)


def test_nothing_is_wrong_with_a_cloud_that_is_well():
    assert diagnose(WELL) == []
    assert text([]) == "Nothing is wrong."


def test_a_cloud_that_does_not_run_is_one_finding():
    assert changed(units=()) == [("the local cloud", "is not running", "`provision cloud up` starts it")]


LOGS = "`provision cloud logs nova-api-1` says why"
UP = "`provision cloud up` starts it"


@pytest.mark.parametrize(
    ("more", "wrong", "do"),
    [
        (
            {"state": "exited", "exit_code": 137, "finished": ago(minutes=5)},
            "ended 5 min ago with code 137",
            f"{LOGS}; {UP} again",
        ),
        ({"state": "dead"}, "ended with code 0", f"{LOGS}; {UP} again"),
        (
            {"state": "exited", "exit_code": 137, "out_of_memory": True},
            "ended with code 137, for want of memory",
            f"give this machine more memory, or let it do less; {UP} again",
        ),
        (
            {"state": "restarting", "restarts": 7, "exit_code": 1},
            "does not stay up: it was restarted 7 times and ended with code 1",
            f"{LOGS}; once the cause is mended, it comes back by itself",
        ),
        (
            {"restarts": 1, "started": ago(seconds=90), "exit_code": 1},
            "was restarted 90 s ago, since it had ended with code 1",
            LOGS,
        ),
        (
            {"restarts": 4, "started": ago(minutes=9)},
            "was restarted 4 times, the last time 9 min ago, since it had ended with code 0",
            LOGS,
        ),
        ({"state": "paused"}, "is paused", "`docker unpause provision-nova-api-1` lets it go on"),
        ({"state": "created"}, "was made, and never started", UP),
        ({"unhealthy": True}, "runs, and fails its own health check", LOGS),
    ],
)
def test_a_container_that_does_not_run_as_it_should(more, wrong, do):
    assert changed(**with_unit("nova-api-1", **more)) == [("nova-api-1", wrong, do)]


def test_restarts_of_long_ago_are_no_news():
    assert changed(**with_unit("nova-api-1", restarts=4, started=ago(minutes=11))) == []


def test_a_service_without_its_containers():
    do = "`provision cloud up` makes what is missing"
    assert changed(units=without(UNITS, "rabbitmq-1")) == [("rabbitmq", "has no container", do)]
    assert changed(units=without(UNITS, "compute-1-switch-1")) == [("compute-1 switch", "has no container", do)]
    assert changed(wanted={**WELL.wanted, ("provision", "glance"): 3}) == [
        ("glance", "has 1 of the 3 containers that were chosen", do)
    ]
    assert changed(wanted={**WELL.wanted, ("provision", "horizon"): 0}) == []


def test_a_member_of_consul_that_is_lost():
    ((where, wrong, do),) = changed(failed_nodes=("host-2",))
    assert (where, wrong) == ("Consul's member host-2", "does not answer the others")
    assert "see whether its host runs" in do


def test_a_registrator_that_does_not_keep_up():
    ids = tuple(f"vm:provision-nova-api-{number}:8774" for number in range(1, 7))
    (first, second) = changed(unregistered=ids, stale=("vm:provision-glance-9:9292",))
    assert first[0] == second[0] == "the Registrator"
    assert first[1].endswith(f"so nobody is sent there: {', '.join(ids[:4])} and 2 more")
    assert second[1] == "Consul still has what does not run any more: vm:provision-glance-9:9292"
    assert "`provision cloud logs registrator`" in first[2]


@pytest.mark.parametrize(
    ("fields", "wrong", "do"),
    [
        (
            {"checks": with_check("glance", passing=False, output="connection refused")},
            "its only copy fails the health check: connection refused",
            "`provision cloud logs glance` says why",
        ),
        (
            {
                "checks": (
                    *with_check("glance", passing=False),
                    ConsulCheck("glance", "vm:provision-glance-2:9292", False, "HTTP 500"),
                )
            },
            "all its 2 copies fail the health check: 200 OK",
            "`provision cloud logs glance` says why",
        ),
        (
            {"checks": tuple(each for each in WELL.checks if each.service != "glance")},
            "has no copy in Consul, so nobody is served",
            "`provision cloud logs registrator`",
        ),
        (
            {"backends": {**WELL.backends, "glance": 0}},
            "has no copy that HAProxy sends requests to, though Consul finds it healthy",
            "`provision cloud logs haproxy` says why",
        ),
        # Keystone is away: what is in its catalogue is known without it.
        (
            {"endpoints": None, "backends": {**WELL.backends, "glance": 0}},
            "has no copy that HAProxy sends requests to, though Consul finds it healthy",
            "`provision cloud logs haproxy` says why",
        ),
    ],
)
def test_a_service_of_the_catalogue_without_a_healthy_copy(fields, wrong, do):
    ((where, found, advice),) = changed(**fields)
    assert (where, found) == ("the image API (glance)", wrong)
    assert do in advice


def test_a_service_of_the_services_without_a_healthy_copy():
    failing = ConsulCheck("rabbitmq", "vm:provision-rabbitmq-1:5672", False, "dial tcp: connection refused")
    ((where, wrong, do),) = changed(checks=(*WELL.checks, failing))
    assert (where, wrong) == (
        "the service rabbitmq",
        "its only copy fails the health check: dial tcp: connection refused",
    )
    assert do.startswith("`provision cloud logs rabbitmq` says why")
    assert changed(checks=(*WELL.checks, failing, replace(failing, id="other", passing=True))) == []


def test_one_healthy_copy_is_enough():
    assert changed(checks=(*WELL.checks, ConsulCheck("glance", "vm:provision-glance-2:9292", False, "HTTP 500"))) == []


def test_neutrons_container_has_another_name_than_its_service():
    ((where, _, do),) = changed(checks=with_check("neutron", passing=False))
    assert where == "the network API (neutron)"
    assert "`provision cloud logs neutron-api`" in do


def test_an_endpoint_of_ours_where_nobody_answers_and_one_of_somebody_else():
    ours = Endpoint("volumev3", "cinder", "public", "http://127.0.0.1:8776/v3")
    others = Endpoint("object-store", "swift", "public", "http://10.0.0.9:8776/v1")
    ((where, wrong, _),) = changed(endpoints=(*WELL.endpoints, ours, others))
    assert where == "Keystone's catalogue, volumev3 (public)"
    assert wrong == "names http://127.0.0.1:8776/v3, and nothing of this cloud answers there"


def test_what_is_not_in_the_catalogue_is_not_missed():
    fewer = tuple(each for each in WELL.endpoints if each.type != "placement")
    assert changed(endpoints=fewer, backends={**WELL.backends, "placement": 0}) == []


@pytest.mark.parametrize(
    ("worker", "wrong", "do"),
    [
        (
            Worker("nova-compute", "compute-1", False, seen=ago(minutes=3)),
            "is down: it last reported 3 min ago",
            f"`provision cloud logs compute-1-nova-compute-1` says why; {UP} if it does not run",
        ),
        (
            Worker("nova-compute", "host-9", False, seen=ago(days=3)),
            "is down: it last reported 3 days ago",
            "start its host; if it is gone for good, `openstack compute service delete` forgets it",
        ),
        (
            Worker("nova-conductor", "conductor-2", False),
            "is down",
            "`provision cloud logs nova-conductor` says why; "
            "if there is no such copy any more, `openstack compute service delete` forgets it",
        ),
        (
            Worker("nova-compute", "host-9", True, enabled=False, reason="new disk"),
            "is disabled (new disk)",
            "`openstack compute service set --enable` takes it back",
        ),
    ],
)
def test_a_compute_service_that_is_not_up(worker, wrong, do):
    others = tuple(each for each in WELL.compute if (each.kind, each.host) != (worker.kind, worker.host))
    ((where, found, advice),) = changed(compute=(*others, worker))
    assert (where, found, advice) == (f"{worker.kind} on {worker.host}", wrong, do)


def test_an_agent_that_is_down():
    down = replace(WELL.agents[0], up=False, seen=ago(hours=2))
    ((where, wrong, do),) = changed(agents=(down, WELL.agents[1]))
    assert (where, wrong) == ("OVN Controller agent on compute-1", "is down: it last reported 2 h ago")
    assert do == f"`provision cloud logs compute-1-switch-1` says why; {UP} if it does not run"
    down = replace(WELL.agents[1], up=False)
    assert "compute-1-metadata-agent-1" in changed(agents=(WELL.agents[0], down))[0][2]


def test_a_hypervisor_that_has_never_reported():
    assert changed(compute=WELL.compute[:1]) == [("nova-compute on compute-1", "has never reported", UP)]
    assert changed(agents=()) == [("OVN on compute-1", "has never reported", UP)]


CLUSTER = tuple(DatabaseMember(f"mariadb-{number}", True, SYNCED) for number in (1, 2, 3))


@pytest.mark.parametrize(
    ("variables", "wrong"),
    [
        ({"wsrep_local_state_comment": "Joined"}, "is not in step with its cluster (Joined)"),
        ({"wsrep_local_state_comment": "Donor/Desynced"}, "gives its data to another member"),
        (
            {"wsrep_cluster_status": "non-Primary"},
            "is cut off from the majority of its cluster, and refuses to answer",
        ),
        ({"wsrep_cluster_size": "0"}, "takes part in no cluster"),
    ],
)
def test_a_database_member_out_of_step(variables, wrong):
    assert changed(members=CLUSTER) == []
    ((where, found, _),) = changed(members=(*CLUSTER[:2], replace(CLUSTER[2], variables=SYNCED | variables)))
    assert (where, found) == ("mariadb-3", wrong)


def test_a_database_that_does_not_answer():
    assert changed(members=(DatabaseMember("mariadb-1", False),)) == [
        ("mariadb-1", "runs, and does not answer SQL", "`provision cloud logs mariadb-1` says why")
    ]


def test_databases_that_have_parted():
    apart = replace(CLUSTER[2], variables=SYNCED | {"wsrep_cluster_state_uuid": "bbbb"})
    ((where, wrong, _),) = changed(members=(*CLUSTER[:2], apart))
    assert (where, wrong) == ("the database's members", "form 2 clusters, each with data of its own")


BROKERS = ("rabbitmq", "rabbitmq-2", "rabbitmq-3")


def brokers(passing, **more):
    """A cloud with three brokers, of which so many pass their check."""
    units = (*without(UNITS, "rabbitmq-1"), *(unit(name, family="rabbitmq") for name in BROKERS))
    said = ("", "dial tcp 172.28.0.9:5672: connection refused")
    checks = [
        ConsulCheck("rabbitmq", f"vm:{name}:5672", n < passing, said[n >= passing]) for n, name in enumerate(BROKERS)
    ]
    return {
        "units": units,
        "wanted": {(each.project, each.service): 1 for each in units},
        "checks": (*WELL.checks, *checks),
        **more,
    }


def test_a_member_that_does_not_serve_though_it_runs():
    assert changed(**brokers(3)) == []
    ((where, wrong, do),) = changed(**brokers(2))
    assert where == "the service rabbitmq"
    assert wrong == "has 2 of its 3 members in service: dial tcp 172.28.0.9:5672: connection refused"
    assert do == "`provision cloud logs rabbitmq` says why; the others go on without"
    ((_, none, _),) = changed(**brokers(0))
    assert none.startswith("all its 3 copies fail the health check")


def test_a_member_whose_container_is_the_reason_is_one_finding():
    some = brokers(2)
    dead = tuple(replace(each, state="exited") if each.service == "rabbitmq-3" else each for each in some["units"])
    ((where, _, _),) = changed(**some | {"units": dead})
    assert where == "rabbitmq-3-1"
    ((where, wrong, _),) = changed(**some | {"units": without(some["units"], "rabbitmq-3-1")})
    assert (where, wrong) == ("rabbitmq-3", "has no container")


@pytest.mark.parametrize(
    ("queue", "wrong", "reader"),
    [
        (
            Queue("compute.compute-1", 12, 0),
            "12 messages wait there, and nobody reads them",
            "nova-compute on compute-1",
        ),
        (Queue("conductor", 1, 0), "1 message waits there, and nobody reads them", "nova-conductor"),
        (Queue("q-plugin", 2, 0), "2 messages wait there, and nobody reads them", "neutron-rpc"),
        (Queue("mine", 2, 0), "2 messages wait there, and nobody reads them", "its reader"),
    ],
)
def test_a_queue_that_nobody_reads(queue, wrong, reader):
    ((where, found, do),) = changed(queues=(queue,))
    assert (where, found) == (f"the queue {queue.name}", wrong)
    assert do == f"{reader} has to run and reach RabbitMQ: see its log"


@pytest.mark.parametrize("name", ["reply_5ab", "scheduler_fanout_12", "conductor"])
def test_a_queue_that_nobody_misses(name):
    assert changed(queues=(Queue(name, 0 if name == "conductor" else 5, 0),)) == []


@pytest.mark.parametrize(
    ("ahead", "uncertain", "wrong"),
    [
        (5.0, 0.6, "is 5 s ahead of this machine's"),
        (-200.0, 0.6, "is 3 min behind this machine's"),
        (3.5, 0.6, ""),
        (-2.9, 0.0, ""),
    ],
)
def test_a_clock_that_is_off(ahead, uncertain, wrong):
    found = changed(clocks=(Clock("Keystone's host", ahead, uncertain),))
    assert [(where, what) for where, what, _ in found] == ([("the clock of Keystone's host", wrong)] if wrong else [])


@pytest.mark.parametrize(
    ("size", "free", "fills"),
    [(100, 30, False), (100, 9, True), (1000, 30, False), (10, 1.5, True), (30, 2.9, True), (15, 2.5, False)],
)
def test_a_disk_that_fills(size, free, fills):
    found = changed(disks=(Disk("the database", int(size * GIB), int(free * GIB)),))
    assert bool(found) == fills
    if fills:
        assert found[0][0] == "the disk with the database"
        assert found[0][1] == f"has {free:.1f} GiB left of {size} GiB".removesuffix(" GiB")


def test_what_lies_on_one_disk_is_one_finding():
    disks = (Disk("the database", 100 * GIB, GIB), Disk("Consul's data", 100 * GIB, GIB - 5), Disk("x", 90 * GIB, GIB))
    assert [where for where, _, _ in changed(disks=disks)] == [
        "the disk with Consul's data, the database",
        "the disk with x",
    ]


@pytest.mark.parametrize(
    ("days", "cluster", "authority", "wrong", "do"),
    [
        (31, "a", False, "", ""),
        (12, "a", False, "ends in 12 days", "run playbooks/site.yml for cluster a: it makes a new one"),
        (-3, "a", False, "ended 3 days ago", "run playbooks/site.yml for cluster a"),
        (1, "a", True, "ends in 24 h", "remove it and its .key, run `provision up`"),
        (1, "", False, "ends in 24 h", "one that you gave has to be renewed by you"),
    ],
)
def test_a_certificate_that_ends(days, cluster, authority, wrong, do):
    found = changed(certificates=(Certificate("/x/hub.pem", NOW + timedelta(days=days), cluster, authority),))
    assert [(where, what) for where, what, _ in found] == ([("the certificate /x/hub.pem", wrong)] if wrong else [])
    assert all(do in advice for _, _, advice in found)


def test_images_that_are_not_this_checkouts():
    ((where, wrong, do),) = changed(tags={**WELL.tags, "nova": "newer"})
    assert where == "nova-api, nova-conductor, nova-scheduler"
    assert wrong == "run from other images than this checkout gives"
    assert "`provision cloud upgrade`" in do
    assert changed(**with_unit("consul-1", image="hashicorp/consul:1.20")) == []


def test_what_could_not_be_looked_at_is_said_once_for_each_reason():
    unseen = {"compute": "Keystone does not answer", "agents": "Keystone does not answer", "queues": "too slow"}
    found = changed(compute=None, agents=None, queues=None, unseen=unseen)
    assert [(where, wrong) for where, wrong, _ in found] == [
        (
            "Nova's list of compute services and Neutron's list of agents",
            "could not be looked at: Keystone does not answer",
        ),
        ("RabbitMQ's queues", "could not be looked at: too slow"),
    ]


def test_causes_come_before_what_follows_from_them():
    found = diagnose(
        replace(
            WELL,
            units=tuple(replace(each, state="exited") if each.name == "keystone-1" else each for each in UNITS),
            checks=with_check("keystone", passing=False),
            endpoints=None,
            compute=None,
            unseen={"endpoints": "503", "compute": "503"},
        )
    )
    assert [each.rule for each in found] == ["containers", "catalogue", "unseen"]
    said = text(found)
    assert said.startswith("1. keystone-1: ended with code 0.\n   `provision cloud logs keystone-1` says why; ")
    assert said.endswith("The first may be the cause of others: mend it, and look again.")


def test_every_rule_says_in_its_own_words_what_it_finds():
    assert all(rule.__doc__.endswith(".") for rule in RULES)


def test_words():
    assert [span(seconds) for seconds in (0, 119, 120, 7199, 7200, 172800)] == [
        "0 s",
        "119 s",
        "2 min",
        "120 min",
        "2 h",
        "2 days",
    ]
    assert listed(["b", "a"]) == "a, b"
    assert text([Finding("r", "here", "is wrong", "mend it")]) == "1. here: is wrong.\n   mend it."
