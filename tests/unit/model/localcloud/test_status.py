"""The state of each service, on one machine and on several, and the table of it."""

from __future__ import annotations

from provision.model.localcloud.doctor.observed import Worker
from provision.model.localcloud.health import Instance
from provision.model.localcloud.host import ServiceState
from provision.model.localcloud.status import hypervisor_statuses, service_status, swarm_statuses, table, wanted_of
from provision.model.localcloud.swarm import Task


def test_a_line_per_service():
    known = (
        Instance("a:1", "web", "aaaa", "10.0.0.1:80", healthy=True),
        Instance("b:1", "web", "bbbb", "10.0.0.1:80", healthy=False),
    )
    told = [
        ServiceState("web", "a", "running", id="a" * 16, image="provision/web:1", digest="sha256:1", registers=True),
        ServiceState("web", "b", "running", id="b" * 16, image="provision/web:2", digest="sha256:2", registers=True),
        ServiceState("web", "c", "exited", id="c" * 16, image="provision/web:2", digest="sha256:2", registers=True),
    ]
    web = service_status("web", 3, told, known=known, drifts=["image", "", "image"], host="box")
    assert (web.running, web.healthy, web.up, web.drift) == (2, 1, False, "image")
    assert web.images == ("provision/web:1", "provision/web:2")
    quiet = service_status("worker", 1, [ServiceState("worker", "w", "running")], known=known, drifts=[""], host="box")
    assert (quiet.healthy, quiet.up, quiet.drift) == (None, True, "")
    absent = service_status("gone", 1, [], known=known, drifts=[], host="box")
    assert (absent.running, absent.up, absent.hosts) == (0, False, ())
    assert table([web, quiet, absent]) == [
        "service  replicas  healthy  image        host  out of date",
        "web      2/3       1        web:1 web:2  box   image",
        "worker   1/1       -        -            box   -",
        "gone     0/1       -        -            -     -",
    ]


def test_names_and_numbers():
    assert wanted_of("provision", "nova-api", 3, control="provision") == ("nova-api", 3)
    assert wanted_of("provision-compute-1", "libvirt", 1, control="provision") == ("compute-1 libvirt", 1)


def task(service, host, state="running", **more):
    image = more.pop("image", "127.0.0.1:5001/provision/keystone:1@sha256:abcdef0123456789")
    return Task(service, host, state, more.pop("wanted", True), image=image, **more)


def test_a_status_says_where_each_replica_is_and_why_one_is_missing():
    tasks = [
        task("keystone", "host-2", container="a" * 64),
        task("keystone", "host-1", container="b" * 64),
        task("keystone", "host-3", "shutdown", wanted=False, problem="an old one"),
        task("glance", "", "pending", problem="no suitable node"),
    ]
    registered = {"a" * 12: True, "b" * 12: False}
    glance, keystone = swarm_statuses(
        {"keystone": 2, "glance": 1}, tasks, registered, {"127.0.0.1:5001/provision/keystone:1"}
    )
    assert (keystone.running, keystone.healthy, keystone.hosts) == (2, 1, ("host-1", "host-2"))
    assert (keystone.drift, keystone.problem, keystone.up) == ("", "", False)
    assert (glance.running, glance.healthy, glance.problem, glance.up) == (0, None, "no suitable node", False)
    assert table([glance, keystone], several_hosts=True) == [
        "service   replicas  healthy  image         hosts          out of date",
        "glance    0/1       -        -             -              -",
        "keystone  2/2       1        abcdef012345  host-1 host-2  -",
    ]


def test_replicas_of_two_images_are_not_as_wanted():
    two = [
        task("keystone", "host-1"),
        task("keystone", "host-2", image="127.0.0.1:5001/provision/keystone:2@sha256:ffff"),
    ]
    (found,) = swarm_statuses({"keystone": 2}, two, {}, {"127.0.0.1:5001/provision/keystone:1"})
    assert (found.drift, len(found.digests), found.mixed, found.up) == ("image", 2, True, False)


def test_a_hypervisor_is_up_when_all_of_it_reports():
    workers = [
        Worker("nova-scheduler", "nova-scheduler-1", up=False),
        Worker("nova-compute", "host-1", up=True),
        Worker("OVN Controller Gateway agent", "host-1", up=True),
        Worker("OVN Metadata agent", "host-1", up=True),
        Worker("nova-compute", "host-2", up=False),
        Worker("OVN Controller Gateway agent", "host-2", up=True),
    ]
    found = {each.host: each for each in hypervisor_statuses(workers, ["host-1", "host-3"])}
    assert list(found) == ["host-1", "host-2", "host-3"]
    assert found["host-1"].up
    assert found["host-2"].lacks == ("its nova-compute is reported down", "its metadata agent is not reported")
    assert len(found["host-3"].lacks) == 3
